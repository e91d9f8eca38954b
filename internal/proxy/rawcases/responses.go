package rawcases

import (
	"strings"

	"jurymast/internal/proxy/http1"
)

// Responses are what is refused of origins, and what is taken.
func Responses() []Case {
	l := &list{class: "response"}
	const ok = "HTTP/1.1 200 OK\r\n"
	head := func(rule http1.Rule, lines ...string) {
		for _, line := range lines {
			l.add(rule, ok+line+"\r\n\r\nabc")
		}
	}
	l.add(http1.StatusLine,
		"HTTP/1.1 099 X\r\n\r\n", "HTTP/1.1 20 X\r\n\r\n", "HTTP/1.1 2000 X\r\n\r\n", "HTTP/1.1  200 X\r\n\r\n", "HTTP/1.1\t200 X\r\n\r\n", "HTTP/1.1 2x0 X\r\n\r\n", "HTTP/1.1 +20 X\r\n\r\n", "HTTP/1.1 200\tOK\r\n\r\n", "HTTP/1.1200 OK\r\n\r\n", "HTTP/1.1\r\n\r\n",
		"ICY 200 OK\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n", " HTTP/1.1 200 OK\r\n\r\n", "<html></html>\r\n\r\n", "200 OK\r\n\r\n", "HTTP/1.1 -20 OK\r\n\r\n", "HTTP/1.1 200OK\r\n\r\n", "HTTP/1.1 \r\n\r\n", "HTTP/1.10 200 OK\r\n\r\n")
	l.add(http1.Version, "HTTP/2.0 200 OK\r\n\r\n", "HTTP/0.9 200 OK\r\n\r\n", "HTTP/1.2 200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "HTTP/1,1 200 OK\r\n\r\n", "RTSP/1.0 200 OK\r\n\r\n")
	l.add(http1.Control, "HTTP/1.1 200 a\x00\r\n\r\n", "HTTP/1.1 200 \x1b[2J\r\n\r\n", ok+"A: b\x00\r\n\r\n", "HTTP/1.1 200 \x7f\r\n\r\n", ok+"A: b\v\r\n\r\n")
	l.add(http1.NameToken, ok+ok+"\r\n", ok+"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ok+"A b: c\r\n\r\n", ok+"\xc4: c\r\n\r\n", ok+"Content-Length\x00: 3\r\n\r\nabc")
	l.add(http1.BareLF, ok+"A: b\n\r\n", "HTTP/1.1 200 OK\nA: b\n\n", "HTTP/1.1 200 OK\nA: b\r\n\r\n", ok+"\n", ok+"A: b\r\n\n", "\nHTTP/1.1 200 OK\r\n\r\n", ok+"A: b\nSet-Cookie: c\r\n\r\n")
	l.add(http1.BareCR, ok+"A: b\rc\r\n\r\n", "HTTP/1.1 200 O\rK\r\n\r\n", ok+"\rX\r\n", ok+"A: b\r\r\n\r\n")
	head(http1.ObsFold, "A: b\r\n c", " A: b", "Content-Length:\r\n 3")
	head(http1.NameBlank, "Content-Length : 3", "Transfer-Encoding\t: chunked")
	head(http1.NameEmpty, ": b")
	head(http1.NoColon, "Abc", "Content-Length")
	head(http1.NameAlias, "Content_Length: 3", "Transfer_Encoding: chunked")
	head(http1.LengthRepeated, "Content-Length: 3\r\nContent-Length: 3", "Content-Length: 3\r\nContent-Length: 4", "Content-Length: 0\r\ncontent-length: 3")
	head(http1.LengthForm, "Content-Length: 3, 3", "Content-Length: +3", "Content-Length: -3", "Content-Length: 0x3", "Content-Length: 3 3", "Content-Length:", "Content-Length: 99999999999999999999", "Content-Length: 3;", "Content-Length: \"3\"")
	head(http1.LengthAndCoding, "Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3")
	head(http1.CodingForm, "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity", "Transfer-Encoding: chunked,", "Transfer-Encoding: chunked\t", "Transfer-Encoding: xchunked", "Transfer-Encoding:", "Transfer-Encoding: \"chunked\"")
	head(http1.CodingRepeated, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")
	head(http1.Protected, "Connection: Content-Length\r\nContent-Length: 3", "Connection: Set-Cookie\r\nSet-Cookie: a=b", "Connection: close, transfer-encoding")
	head(http1.Upgrades, "Upgrade: websocket\r\nUpgrade: h2c")
	l.add(http1.CodingOld, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+empty)
	for _, status := range []string{"100", "101", "103", "199", "204"} {
		l.add(http1.NoBody, "HTTP/1.1 "+status+" X\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 "+status+" X\r\nTransfer-Encoding: chunked\r\n\r\n"+empty)
	}
	l.add(http1.NoBody, "HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\nabc")
	long := strings.Repeat("a", 20<<10)
	l.add(http1.LineTooLong, "HTTP/1.1 200 "+long+"\r\n\r\n")
	l.add(http1.HeadTooLong, ok+strings.Repeat("A: "+long+"\r\n", 5)+"\r\n")
	l.add(http1.TooMany, ok+strings.Repeat("A: b\r\n", 257)+"\r\n")
	for _, rule := range sizeRules {
		for _, size := range Sizes()[rule] {
			l.cases = append(l.cases, Case{Class: l.class, Text: ok + coded + "\r\n" + size + "abc\r\n" + empty, Rule: rule, Body: true})
		}
	}
	return append(l.cases, rightResponses()...)
}

func rightResponses() []Case {
	l := &list{class: "right"}
	l.add("",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 Alles gut \xfc\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 404   two  blanks\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\nabc", "HTTP/1.0 200 OK\r\n\r\nabc", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 999 Strange\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"+empty, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 003\r\n\r\nabc",
		"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nA:\r\nA: b\r\na: \xff\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n")
	for _, text := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"} {
		l.cases = append(l.cases, Case{Class: l.class, Text: text, HEAD: true})
	}
	return l.cases
}
