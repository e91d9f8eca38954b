package rawcases

import (
	"strings"

	"jurymast/internal/proxy/http1"
)

// endings are ends of lines, and what no line can have.
func endings() *list {
	l := &list{class: "lines"}
	host := "Host: " + Host + "\r\n\r\n"
	l.add(http1.BareLF,
		"GET /a HTTP/1.1\n"+host, "GET /a HTTP/1.1\nHost: a.example\n\n", "\nGET /a HTTP/1.1\r\n"+host, Get+"\n", Get+"A: b\n\r\n", Get+"A: b\r\n\n",
		Get+"A: b\nC: d\r\n\r\n", "GET /a\nHTTP/1.1\r\n"+host, "GET\n/a HTTP/1.1\r\n"+host, Get+"A:\n\n"+Hidden, Get+"A\nB: c\r\n\r\n", Get+"Te\nst: x\r\n\r\n",
		Get+"A: b\nContent-Length: 3\r\n\r\nabc", "GET /a\n"+host, "GET /a HTTP/1.1\r\nHost: a.example\n\r\n")
	l.add(http1.BareCR,
		Get+"A: b\rc\r\n\r\n", Get+"A: b\r\r\n\r\n", "GET /a\r HTTP/1.1\r\n"+host, "GET /a HTTP/1.1\r\r\n"+host, Get+"\r\r\n", Get+"\rX\r\n\r\n",
		Get+"A: b\rContent-Length: 3\r\n\r\nabc", Get+"A\r: b\r\n\r\n", "\rGET /a HTTP/1.1\r\n"+host, Get+"A:\rb\r\n\r\n", Get+"\rZGET /evil: HTTP/1.1\r\nHost: b\r\n\r\n",
		"GET\r/a HTTP/1.1\r\n"+host, Get+"Transfer-\rEncoding: chunked\r\n\r\n"+empty)
	l.add(http1.ObsFold,
		Get+"A: b\r\n c\r\n\r\n", Get+"A: b\r\n\tc\r\n\r\n", "GET /a HTTP/1.1\r\n Host: a.example\r\n\r\n", "GET /a HTTP/1.1\r\n\tContent-Length: 3\r\n"+host+"abc", Get+"A: b\r\n \r\n\r\n",
		Post+"Transfer-Encoding:\r\n chunked\r\n\r\n"+empty, Post+length(empty+Hidden)+"Transfer-Encoding:\r\n\tchunked\r\n\r\n"+empty+Hidden, Post+"Content-Length:\r\n 3\r\n\r\nabc",
		Get+" Host: b.example\r\n\r\n")
	l.lines(http1.Control, "A: b\x00c", "A: b\x7fc", "A: \x01", "A: b\x08", "A: \x1b[2J", "A:\x00", "A: b\x0bc", "A: b\x0cc")
	l.add(http1.EmptyLines, "\r\n\r\nGET /a HTTP/1.1\r\n"+host, "\r\n\r\n\r\nGET /a HTTP/1.1\r\n"+host)
	return l
}

func firstLines() *list {
	l := &list{class: "lines"}
	host := "\r\nHost: " + Host + "\r\n\r\n"
	l.add(http1.RequestLine,
		"GET  /a HTTP/1.1"+host, "GET\t/a HTTP/1.1"+host, "GET /a"+host, "GET"+host, "GE(T /a HTTP/1.1"+host, "GET: /a HTTP/1.1"+host,
		"GET\x00 /a HTTP/1.1"+host, "GET\v/a HTTP/1.1"+host, "G\xe9T /a HTTP/1.1"+host, "GET  HTTP/1.1"+host)
	l.add(http1.MethodToken, " GET /a HTTP/1.1"+host, "\tGET /a HTTP/1.1"+host, "(GET /a HTTP/1.1"+host, "\x00GET /a HTTP/1.1"+host, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", ": /a HTTP/1.1"+host)
	l.add(http1.Version,
		"GET /a  HTTP/1.1"+host, "GET /a HTTP/1.1 "+host, "GET /a b HTTP/1.1"+host, "GET / HTTP/1.1 HTTP/1.1"+host, "GET /\x20HTTP/1.1 HTTP/1.1"+host, "GET /a HTTP/1.2"+host, "GET /a HTTP/2.0"+host,
		"GET /a HTTP/0.9"+host, "GET /a http/1.1"+host, "GET /a HTTP/1.10"+host, "GET /a HTTP/01.1"+host, "GET /a HTTP/1,1"+host, "GET /a HTTP/1"+host, "GET /a HTTP/1."+host, "GET /a HTTP/"+host,
		"GET /a HTTPS/1.1"+host, "GET /a HTTP/1.1\t"+host, "GET /a \tHTTP/1.1"+host, "GET /a HTTP /1.1"+host, "GET /a HTTP/ 1.1"+host, "GET /a HTTP/1.1x"+host, "GET /a HTTP/4294967295.255"+host,
		"GET /a HTTP/+1.1"+host, "GET /a RTSP/1.0"+host, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /a "+host, "GET /a HTTP/1.\xb1"+host)
	l.add(http1.TargetByte,
		"GET /a\tHTTP/1.1"+host, "GET \t/a HTTP/1.1"+host, "GET /\xc3\xa4 HTTP/1.1"+host, "GET /\x01 HTTP/1.1"+host, "GET /\x7f HTTP/1.1"+host, "GET /a\x00 HTTP/1.1"+host, "GET /a\x0b HTTP/1.1"+host,
		"GET /a\xa0HTTP/1.1"+host, "GET /\xff HTTP/1.1"+host, "GET \x80/a HTTP/1.1"+host)
	l.add(http1.Fragment, "GET /a#b HTTP/1.1"+host, "GET /a?b#c HTTP/1.1"+host, "GET # HTTP/1.1"+host, "GET http://a.example/#b HTTP/1.1"+host, "GET /a# HTTP/1.1"+host)
	return l
}

// Blanked are field lines of a name that some read as another one.
func Blanked() map[http1.Rule][]string {
	return map[http1.Rule][]string{
		http1.NameBlank: {"Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", "Transfer-Encoding \t : chunked"},
		http1.NameToken: {
			"Transfer Encoding: chunked", "Transfer-Encoding\x00: chunked", "\x00Transfer-Encoding: chunked", "Transfer-Encoding\xa0: chunked", "Transfer-Encoding\v: chunked",
			"\xa0Transfer-Encoding: chunked", "Transfer-Encoding;: chunked", "Transfer-Encoding=chunked", "Transfer-Encoding chunked", "Transfer-Encoding\x85: chunked", "Transfer-Encoding\": chunked",
			"(Transfer-Encoding: chunked", "[Transfer-Encoding]: chunked", "Transfer-Encoding@: chunked",
		},
		http1.NameEmpty: {": Transfer-Encoding: chunked", ":", ": chunked"},
		http1.NameAlias: {"Transfer_Encoding: chunked", "Transfer.Encoding: chunked", "transfer~encoding: chunked", "Transfer!Encoding: chunked"},
		http1.ObsFold:   {" Transfer-Encoding: chunked", "\tTransfer-Encoding: chunked"},
		http1.NoColon:   {"Transfer-Encoding", "Transfer-\r\nEncoding: chunked"},
	}
}

func names() *list {
	l := &list{class: "names"}
	for _, rule := range []http1.Rule{http1.NameBlank, http1.NameToken, http1.NameEmpty, http1.NameAlias, http1.ObsFold, http1.NoColon} {
		for _, line := range Blanked()[rule] {
			l.add(rule, Post+line+"\r\n"+length(empty+Hidden)+"\r\n"+empty+Hidden)
		}
	}
	l.add(http1.NameBlank, Post+"Content-Length : 3\r\n\r\nabc", Get+"A : b\r\n\r\n", Get+"A\t: b\r\n\r\n", "GET /a HTTP/1.1\r\nHost : a.example\r\n\r\n", Get+"X  : b\r\n\r\n")
	l.lines(http1.NameEmpty, ": b", ":", ":b: c")
	l.lines(http1.NameToken, "A(: b", "A b: c", "\x00A: c", "\xc3\x84: c", "A\x7f: b", "A\x01: b", "A/b: c", "A{: b", "A,B: c", "A@b: c", "A[0]: c", "HTTP/1.1 200 OK", "\xefoo: bar", "A\"b\": c", "A;b: c", "A=b: c", "A\\b: c")
	l.lines(http1.NoColon, "Abc", "A", "Content-Length")
	l.lines(http1.NameAlias,
		"Content_Length: 3", "content_Length: 3", "X_Forwarded-For: 192.0.2.1", "X-Forwarded_Proto: https", "X_Real_IP: 192.0.2.1", "Client_Cert: x", "Client-Cert_Chain: x", "X.Forwarded.For: 192.0.2.1",
		"X'Forwarded'Host: b.example", "X_FORWARDED_PORT: 1", "Set_Cookie: a=b")
	return l
}

// Hosts are values of Host that are refused.
func Hosts() []string {
	return []string{
		"", "u@a.example", "u:p@a.example", "a.example/b", "a.example/", "/", "a.example?x", "a.example#x", "a.example:b", "a.example:", "a.example:70000", "a.example:0", "a.example:000080", "a.example:-80",
		"a.example:80:80", ":80", "a b", "a, b", "a.example,b.example", "a\tb", "[::1", "::1", "[]", "[::1]x", "[::1]:", "[::1%25eth0]", "[v1.x]", "[:]", "a.example\xa0", "\xffa", "a_example\x80", "b\xc3\xbccher.example", "a%41",
		"a;b", "a'b", "\"a\"", "http://a.example", "*", "a&b", "a\\b", "<a>", "a{b", "a=b", "a|b", "a!b", "a~b", "a$b",
	}
}

func hosts() *list {
	l := &list{class: "target"}
	for _, v := range Hosts() {
		l.add(http1.HostForm, "GET /a HTTP/1.1\r\nHost: "+v+"\r\n\r\n")
	}
	l.add(http1.HostForm, "GET /a HTTP/1.0\r\nHost:\r\n\r\n", "GET http://a.example/ HTTP/1.1\r\nHost:\r\n\r\n")
	l.add(http1.Control, "GET /a HTTP/1.1\r\nHost: a.example\x00.b.example\r\n\r\n", "GET /a HTTP/1.1\r\nHost: a\x01b\r\n\r\n")
	l.add(http1.HostMissing, "GET /a HTTP/1.1\r\n\r\n", "GET http://a.example/a HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\nA: b\r\n\r\n")
	l.add(http1.HostRepeated, Get+"Host: a.example\r\n\r\n", Get+"host: b.example\r\n\r\n", Get+"Host:\r\n\r\n", "GET /a HTTP/1.0\r\nHost: a.example\r\nHost: b.example\r\n\r\n")
	l.add(http1.HostTarget,
		"GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET http://u@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET http:///x HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"GET http://a.example:81/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET http://a.example@b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET https://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"GET http://a.example\\@b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET http://b.example?a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET http://a.example. HTTP/1.1\r\nHost: a.example\r\n\r\n")
	return l
}

func targets() *list {
	l := &list{class: "target"}
	host := "\r\nHost: " + Host + "\r\n\r\n"
	l.add(http1.TargetForm,
		"GET http:// HTTP/1.1"+host, "GET ftp://a.example/ HTTP/1.1"+host, "GET a HTTP/1.1"+host, "GET * HTTP/1.1"+host, "GET ** HTTP/1.1"+host, "OPTIONS ** HTTP/1.1"+host, "GET ?x HTTP/1.1"+host, "GET a.example:80 HTTP/1.1"+host,
		"CONNECT /x HTTP/1.1"+host, "CONNECT http://a.example/ HTTP/1.1"+host, "CONNECT * HTTP/1.1"+host, "GET ! HTTP/1.1"+host, "GET %2fa HTTP/1.1"+host, "GET \\a HTTP/1.1"+host, "GET http:/a.example/ HTTP/1.1"+host,
		"GET ://a.example/ HTTP/1.1"+host, "GET @a.example/ HTTP/1.1"+host, "GET ../a HTTP/1.1"+host, "options * HTTP/1.1"+host, "GET ws://a.example/ HTTP/1.1"+host)
	return l
}

func hops() *list {
	l := &list{class: "hop"}
	l.lines(http1.Protected,
		"Connection: close, Host", "Connection: content-length", "Connection: X-Forwarded-For", "Connection: Cookie", "Connection: Authorization", "Connection: transfer-encoding", "Connection: x\r\nConnection: , ,forwarded",
		"Connection: X-Forwarded-Proto", "Connection: X-Forwarded-Host", "Connection: X-Real-Ip", "Connection: Client-Cert", "Connection: keep-alive,client-cert-chain\t,x", "Connection: Set-Cookie")
	l.lines(http1.Upgrades, "Upgrade: websocket\r\nUpgrade: h2c", "Connection: Upgrade\r\nUpgrade: websocket\r\nupgrade: websocket")
	l.lines(http1.Expectation,
		"Expect: 200-ok", "Expect: 100-continue, 100-continue", "Expect: 100-continue\r\nExpect: 100-continue", "Expect: y 100-continue", "Expect: \"100-continue\"", "Expect: 100-continue;x", "Expect:", "Expect: 100_continue", "Expect: 100-continue=1", "Expect: 100")
	return l
}

func limits() *list {
	l := &list{class: "limits"}
	long := strings.Repeat("a", 20<<10)
	l.add(http1.LineTooLong, "GET /"+long+" HTTP/1.1\r\nHost: a.example\r\n\r\n", long+" /a HTTP/1.1\r\nHost: a.example\r\n\r\n")
	l.add(http1.HeadTooLong, Get+strings.Repeat("A: "+long+"\r\n", 5)+"\r\n", Get+strings.Repeat(long, 4)+": b\r\n\r\n")
	l.add(http1.TooMany, Get+strings.Repeat("A: b\r\n", 257)+"\r\n", Get+"Connection: "+strings.Repeat("x,", 300)+"\r\n\r\n")
	return l
}
