package rawcases

import (
	"strings"

	"jurymast/internal/proxy/http1"
)

// Lengths are values of Content-Length that are refused. The right one would be 3.
func Lengths() []string {
	return []string{
		"+3", "-3", "-0", "0x3", "3, 3", "3,3", "3,", ",3", "3 3", "3\t3", "3;", "3;x", "\"3\"", "3.0", "3e0", "1_0", "03", "003", "3a", "a3",
		"\xa03", "3\xa0", "\x853", "\xef\xbc\x93", "9223372036854775808", "18446744073709551619", "4294967299x", "00000000000000000003", "",
	}
}

func lengths() *list {
	l := &list{class: "length"}
	for _, v := range Lengths() {
		l.add(http1.LengthForm, Post+"Content-Length: "+v+"\r\n\r\nabc"+Hidden)
	}
	l.add(http1.LengthForm, Post+"Content-Length:\r\n\r\n"+Hidden)
	l.add(http1.Control, Post+"Content-Length: \v3\r\n\r\nabc", Post+"Content-Length: 3\x00\r\n\r\nabc", Post+"Content-Length: 3\f\r\n\r\nabc")
	l.add(http1.LengthRepeated,
		Post+"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		Post+"Content-Length: 3\r\ncontent-length: 4\r\n\r\nabc",
		Post+"Content-Length: 0\r\n"+length(Hidden)+"\r\n"+Hidden,
		Post+length(Hidden)+"Content-Length: 0\r\n\r\n"+Hidden,
		Post+"Content-Length: \r\n"+length(Hidden)+"\r\n"+Hidden)
	l.add(http1.LengthAndCoding,
		Post+length(empty+Hidden)+coded+"\r\n"+empty+Hidden,
		Post+coded+length(empty+Hidden)+"\r\n"+empty+Hidden,
		Post+"Content-Length: 4\r\n"+coded+"\r\n"+"2e\r\n"+Hidden+"\r\n"+empty,
		Post+"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n"+empty)
	l.add(http1.CodingOld,
		"POST /a HTTP/1.0\r\nHost: a.example\r\n"+coded+"\r\n"+empty,
		"POST /a HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n"+coded+length(empty+Hidden)+"\r\n"+empty+Hidden)
	return l
}

// Codings are values of Transfer-Encoding that are refused.
func Codings() []string {
	return []string{
		"chunked,", ",chunked", ", chunked", "chunked, chunked", "chunked,chunked", "chunked, identity", "identity", "identity, chunked", "gzip",
		"gzip, chunked", "chunked, gzip", "\"chunked\"", "'chunked'", "xchunked", "chunkedx", "x-chunked", "chunk", "cow", "chunked;x=y", "chunked;",
		"chunked;q=0", "[chunked]", "chunked chunked", "\xa0chunked", "chunked\xa0", "\xffchunked\xff", "chu nked", "chun\xe9ked", "chunked ", "chunked\t",
		"CHUN\xc5\xbf", "chun\u212aed",
	}
}

func codings() *list {
	l := &list{class: "coding"}
	for _, v := range Codings() {
		l.add(http1.CodingForm, Post+"Transfer-Encoding: "+v+"\r\n\r\n"+empty+Hidden)
		l.add(http1.CodingForm, Post+length(empty+Hidden)+"Transfer-Encoding: "+v+"\r\n\r\n"+empty+Hidden)
	}
	l.add(http1.CodingForm, Post+"Transfer-Encoding:\r\n\r\n", Post+"Transfer-Encoding: \r\n"+length(empty+Hidden)+"\r\n"+empty+Hidden)
	for _, v := range []string{"\vchunked", "\x0cchunked", "chunked\v", "chunked\x00", "\x00chunked", "chunked\x7f", "\x1fchunked", "\bchunked"} {
		l.add(http1.Control, Post+length(empty+Hidden)+"Transfer-Encoding: "+v+"\r\n\r\n"+empty+Hidden)
	}
	l.add(http1.CodingRepeated,
		Post+coded+coded+"\r\n"+empty,
		Post+coded+"Transfer-Encoding: identity\r\n\r\n"+empty+Hidden,
		Post+"Transfer-Encoding: identity\r\n"+coded+"\r\n"+empty+Hidden,
		Post+coded+"Transfer-encoding: cow\r\n"+length(empty+Hidden)+"\r\n"+empty+Hidden,
		Post+coded+"transfer-encoding:\r\n\r\n"+empty)
	return l
}

var sizeRules = []http1.Rule{http1.BareLF, http1.BareCR, http1.ChunkSize, http1.ChunkExtension}

// Sizes are beginnings of chunks, up to the data, that are refused. The right one would be 3 CRLF.
func Sizes() map[http1.Rule][]string {
	return map[http1.Rule][]string{
		http1.BareLF:         {"3\n", "3;\n", "3;x\n", "3;x\ny\r\n", "3 \n", "\n3\r\n"},
		http1.BareCR:         {"3\r", "3\r\r\n", "3;x\ry\r\n", "3\r;x\r\n", "3;\r\r\n", "\r3\r\n", "3\rX\r\n"},
		http1.ChunkSize:      {"\r\n", " 3\r\n", "\t3\r\n", "+3\r\n", "-3\r\n", "-0\r\n", "x3\r\n", "g\r\n", ";x\r\n", "\"3\"\r\n", "10000000000000003\r\n", "0000000000000003\r\n", "ffffffffffffffff\r\n", "\x003\r\n", "\xa03\r\n"},
		http1.ChunkExtension: {"3 \r\n", "3\t\r\n", "3 ;x\r\n", "0x3\r\n", "3_0\r\n", "3g\r\n", "3,\r\n", "3h\r\n", "3.0\r\n", "3 3\r\n", "3\x00\r\n", "3;\x00\r\n", "3;x=\x1f\r\n", "3;x\x7f\r\n", "3;" + strings.Repeat("x", 256) + "\r\n", "3\xa0\r\n", "3\v\r\n", "3=x\r\n"},
	}
}

func chunks() *list {
	l := &list{class: "chunks"}
	for _, rule := range sizeRules {
		for _, size := range Sizes()[rule] {
			l.bodies(rule, size+"abc\r\n"+empty+Hidden)
		}
	}
	l.bodies(http1.ChunkEnd, "3\r\nabcd\r\n"+empty, "3\r\nabc"+empty, "3\r\nabc\n"+empty, "3\r\nabc\r0\r\n\r\n", "3\r\nabcXX"+empty, "3\r\nabc\n\r\n"+empty, "3\r\nabc\r\r\n"+empty, "3\r\nabc \r\n"+empty)
	l.bodies(http1.ChunkSize, "3\r\nabc\r\n\r\n"+empty, "INVALID\r\n"+Hidden, "3\r\nabc\r\n-1\r\n\r\n")
	l.bodies(http1.BareLF, "0\n\r\n", "3\r\nabc\r\n0\n\n", "0\r\n\n", "0\r\nX: y\n\r\n", "0\r\nX: y\r\n\n")
	l.bodies(http1.BareCR, "0\r\r\n\r\n", "0\r\n\r\r\n", "0\r\n\rX\r\n", "0\r\nX: y\r\rZ: z\r\n\r\n", "0\r\n\rZ"+Hidden)
	l.bodies(http1.NameToken, "0\r\n"+Hidden, "0\r\nX y: z\r\n\r\n", "0\r\n\x00: z\r\n\r\n")
	l.bodies(http1.NoColon, "0\r\nabc\r\n\r\n")
	l.bodies(http1.NameEmpty, "0\r\n: x\r\n\r\n")
	l.bodies(http1.NameBlank, "0\r\nX : y\r\n\r\n")
	l.bodies(http1.ObsFold, "0\r\n a: b\r\n\r\n", "0\r\nX: y\r\n z\r\n\r\n")
	l.bodies(http1.Control, "0\r\nX: y\x00\r\n\r\n")
	l.bodies(http1.NameAlias, "0\r\ncontent_length: 3\r\n\r\n", "0\r\nX_Forwarded_For: 192.0.2.1\r\n\r\n")
	for _, line := range []string{
		"Content-Length: 3", "Transfer-Encoding: chunked", "Host: b.example", "Authorization: x", "Cookie: x", "Set-Cookie: x", "Connection: close",
		"Expect: 100-continue", "TE: trailers", "Trailer: X", "Upgrade: h2c", "Content-Type: text/plain", "X-Forwarded-For: 192.0.2.1", "Forwarded: for=x",
		"Client-Cert: x", "Keep-Alive: timeout=1",
	} {
		l.bodies(http1.Trailer, "0\r\n"+line+"\r\n\r\n")
	}
	return l
}
