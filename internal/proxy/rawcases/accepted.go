package rawcases

import "strings"

// Accepted are requests that have to be taken as they are, with their bodies.
func Accepted() []Case {
	l := &list{class: "right"}
	host := "\r\nHost: " + Host + "\r\n\r\n"
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE", "PROPFIND", "M-SEARCH", "get", "PATCH"} {
		l.add("", method+" /a HTTP/1.1"+host)
	}
	for _, target := range []string{
		"/", "//", "/a//b", "/a/../b", "/./a", "/..", "/%2f", "/%2F..%2f", "/%00", "/%", "/%zz", "/a;b=c", "/a?b?c", "/?", "/a?%0d%0aX:%20y", "/a&b=c", "/~a/@b/$c/!d", "/a+b,c*d'e(f)", "/a:b", "/a?q={x}|^`\"<>\\", "/a/[b]",
		"/http://b.example/", "/%e4", "/a?" + strings.Repeat("x", 3000), "/.", "/a/.", "/a%20b", "/*", "/a=b",
	} {
		l.add("", "GET "+target+" HTTP/1.1"+host)
	}
	for _, v := range []string{"a.example", "A.Example", "a.example:80", "a.example:8443", "a_b.example", "192.0.2.1", "192.0.2.1:65535", "[2001:db8::1]", "[2001:db8::1]:80", "[::ffff:192.0.2.1]", "a.example.", "a-b.example", "xn--bcher-kva.example", "localhost"} {
		l.add("", "GET /a HTTP/1.1\r\nHost: "+v+"\r\n\r\n")
	}
	l.add("", "GET http://a.example/x?y HTTP/1.1"+host, "GET HTTP://A.EXAMPLE/ HTTP/1.1"+host, "GET http://a.example HTTP/1.1"+host, "GET http://a.example?x HTTP/1.1"+host, "OPTIONS * HTTP/1.1"+host, "\r\nGET /a HTTP/1.1"+host)
	l.add("", "GET /a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.0"+host, "GET http://a.example/ HTTP/1.0\r\n\r\n", "GET /a HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n", "POST /a HTTP/1.0\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc")
	for _, line := range []string{
		"A:", "A: ", "A:b", "A:\tb\t", "A:   b   ", "A: b  c", "A: \xff\x80", "A: b,c;d=\"e:f\"", "!#$%&'*+-.^_`|~09: a", "A: b\r\nA: c\r\na: b", "X-B3-TraceId: 1", "Under_score: 1", "X-Forwarded-For: 192.0.2.1", "Cookie: a=b; c=\"d e\"",
		"Authorization: Basic YTpi", "Connection: close", "Connection: keep-alive", "Connection: close, X-A\r\nX-A: b", "Connection: Upgrade\r\nUpgrade: websocket", "Upgrade: h2c", "TE: trailers", "TE: gzip", "Keep-Alive: timeout=5", "Content-Type: text/plain",
		"Connection: , ,close", "Connection:", "Proxy-Connection: keep-alive", "Range: bytes=0-1", "If-Match: *", "Expect: 100-continue", "Referer: http://b.example/#x", "User-Agent: " + strings.Repeat("x", 2000),
	} {
		l.add("", Get+line+"\r\n\r\n")
	}
	l.add("",
		Post+"Content-Length: 0\r\n\r\n", Post+"Content-Length: 3\r\n\r\nabc", Post+"Content-Length:3\r\n\r\nabc", Post+"Content-Length:  3  \r\n\r\nabc", Post+"content-length: 3\r\n\r\n\r\n\r", Post+length(Hidden)+"\r\n"+Hidden,
		Get+"Content-Length: 3\r\n\r\nabc", "DELETE /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc", Post+"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", Post+"\r\n")
	l.bodies("",
		empty, "3\r\nabc\r\n"+empty, "3\r\nabc\r\n003\r\ndef\r\n00\r\n\r\n", "A\r\n0123456789\r\na\r\n0123456789\r\n"+empty, "3;x\r\nabc\r\n"+empty, "3;x=y;z=\"a b\"\r\nabc\r\n0;end\r\n\r\n", "3;\r\nabc\r\n"+empty,
		"3\r\n\r\n\r\r\n"+empty, "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", "3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Other:\r\n\r\n", "2e\r\n"+Hidden+"\r\n"+empty, "000000000000003\r\nabc\r\n"+empty)
	l.add("", Post+"Transfer-Encoding: Chunked\r\n\r\n"+empty, Post+"transfer-encoding:CHUNKED\r\n\r\n3\r\nabc\r\n"+empty, Post+"TRANSFER-ENCODING:\tchunked\r\n\r\n"+empty)
	return l.cases
}
