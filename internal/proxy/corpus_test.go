package proxy_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"strings"
)

// pair is a request as a client writes it and the answer as the origin writes it.
type pair struct{ name, request, answer string }

const (
	plainRequest = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
	plainAnswer  = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

// corpus is what must look the same direct and through the proxy.
func corpus() (out []pair) {
	request := func(name, text string) { out = append(out, pair{"request " + name, text, plainAnswer}) }
	answer := func(name, text string) { out = append(out, pair{"answer " + name, plainRequest, text}) }
	for _, m := range corpusMethods {
		request("method "+m, m+" /m HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
	}
	for _, t := range corpusTargets {
		request("target "+t, "GET "+t+" HTTP/1.1\r\nHost: a.example\r\n\r\n")
	}
	for _, f := range corpusRequestFields {
		request(fmt.Sprintf("fields %.60q", f), "GET / HTTP/1.1\r\nHost: a.example\r\n"+lines(f)+"\r\n")
		request(fmt.Sprintf("POST, fields %.60q", f), "POST / HTTP/1.1\r\n"+lines(f)+"Content-Length: 1\r\nhost: a.example\r\nX-Last: 1\r\n\r\nx")
	}
	for _, f := range corpusAnswerFields {
		answer(fmt.Sprintf("fields %.60q", f), "HTTP/1.1 200 OK\r\n"+lines(f)+"Content-Length: 2\r\n\r\nok")
		answer(fmt.Sprintf("chunked, fields %.60q", f), "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n"+lines(f)+"\r\n2\r\nok\r\n0\r\n\r\n")
	}
	for _, s := range corpusStatus {
		answer(fmt.Sprintf("status %.60q", s), "HTTP/1.1 "+s+"\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok")
	}
	for name, b := range bodies() {
		length := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(b), b)
		chunks := "Transfer-Encoding: chunked\r\n\r\n" + chunked(b)
		request("body "+name, "POST /b HTTP/1.1\r\nHost: a.example\r\n"+length)
		request("PUT body in chunks "+name, "PUT /b HTTP/1.1\r\nHost: a.example\r\n"+chunks)
		answer("body "+name, "HTTP/1.1 200 OK\r\n"+length)
		answer("body in chunks "+name, "HTTP/1.1 200 OK\r\n"+chunks)
		answer("body until the end "+name, "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"+b)
		answer("body of HTTP/1.0 "+name, "HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\n"+b)
		answer("body of HTTP/1.0 with length "+name, "HTTP/1.0 200 OK\r\n"+length)
		answer("body and close "+name, "HTTP/1.1 200 OK\r\nConnection: close\r\n"+length)
	}
	return append(out, corpusPairs...)
}

func lines(f []string) string {
	if len(f) == 0 {
		return ""
	}
	return strings.Join(f, "\r\n") + "\r\n"
}

// chunked writes a body in chunks of growing size.
func chunked(b string) string {
	var out strings.Builder
	for n := 1; len(b) > 0; n *= 3 {
		n = min(n, len(b))
		fmt.Fprintf(&out, "%x\r\n%s\r\n", n, b[:n])
		b = b[n:]
	}
	return out.String() + "0\r\n\r\n"
}

func bodies() map[string]string {
	dice := rand.New(rand.NewPCG(1, 2))
	random := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(dice.Uint32())
		}
		return string(b)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(strings.Repeat("text ", 100)))
	_ = z.Close()
	return map[string]string{
		"empty": "", "one byte": "x", "HTTP in it": "\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\n\r\n", "binary": random(999),
		"gzip": packed.String(), "4095 bytes": random(4095), "64 KiB": random(64 << 10), "64 KiB and one": random(64<<10 + 1), "1 MiB": random(1 << 20),
	}
}

var corpusMethods = []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH", "get", "X", "VERSION-CONTROL", "!#$%&'*+-.^_`|~"}

var corpusTargets = []string{
	"/", "/a%2fb", "/a%2Fb%20c", "//double//slash", "//double?x", "//", "/d%2f?", "/../up/./x", "/./", "/..;/x", "/a;p=1;q", "/;", "/?", "/?a=b&&c",
	"/a?b?c", "/?=&", "/%41%7e", "/%", "/%zz", "/%00", "/a/%2e%2e/b", "/{braces}|pipe\\back", "/a+b@c:d", "/\"quoted\"", "/^`<>", "/q?%zz;%00", "/?/../x",
	"/http://other.example/", "/~user/$metadata?$filter=A%20eq%20'b'", "/" + strings.Repeat("long/", 1600),
}

var corpusRequestFields = [][]string{
	{"SOAPAction: \"\""},
	{"SOAPAction: urn:x#y"},
	{"SOAPAction: \"urn:x#y\""},
	{"soapaction:"},
	{"X-A: 1", "X-B: 2", "X-A: 3", "x-a: 4"},
	{"aCCEPT: */*", "ACCEPT: text/plain", "accept-encoding: gzip, br;q=0.5"},
	{"Zebra: 1", "Alpha: 2", "User-Agent: u", "Mid: 3"},
	{"User-Agent: a", "User-Agent: b"},
	{"User-Agent:"},
	{"X-Inside: a  b\tc   d"},
	{"X-None:x", "X-Tab:\tx", "X-Behind: x  ", "X-Many:    x"},
	{"X-Empty:", "X-Blank: "},
	{"X-Obs: \xff\xfe\x80 gr\xfc\xdfe", "X-Utf8: grüße €"},
	{"X-Marks: !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
	{"!#$%&'*+-.^_`|~: odd name"},
	{"Cookie: a=1; b=\"2\"", "Cookie: c=3", "cookie: a=1"},
	{"Cookie: a=1;b=2;;=;x"},
	{"Authorization: Basic Og==", "X-Authorization: x"},
	{"Content-Type: text/xml; charset=\"utf-8\"", "content-encoding: gzip"},
	{"Date: yesterday", "From: x@example", "Referer: http://other.example/?a#b"},
	{"If-None-Match: W/\"x\", \"y\"", "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT", "Range: bytes=0-1, 5-"},
	{"Cache-Control: no-cache", "Pragma: no-cache", "Max-Forwards: 3"},
	{"Origin: null", "Sec-Fetch-Mode: cors", "sec-ch-ua: \"x\";v=\"1\""},
	{"Via: 1.0 other", "X-Forwarded-Server: b.example", "X-Real-Ip: 192.0.2.1"},
	{"X-Long: " + strings.Repeat("0123456789", 1500)},
	{"X-Hop: 1", "Connection: x-hop", "X-Stays: 2"},
	{"Connection: keep-alive", "Keep-Alive: timeout=5", "X-Stays: 2"},
	{"Proxy-Connection: keep-alive", "X-Stays: 2"},
	{"Upgrade-Insecure-Requests: 1"},
	{"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: a=b,c=d", "baggage: x=y"},
	{"X_Underscore: 1", "X.Dot: 2"},
	{"Transfer_Encodings: x", "Content-Lengthy: 2", "Hosts: b.example"},
	many("X-Many", 200),
}

func many(name string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%s-%d: %d", name, i%50, i))
	}
	return out
}

var corpusAnswerFields = [][]string{
	nil,
	{"Date: yesterday", "Server: origin/1.0"},
	{"server: a", "Server: b", "date:"},
	{"Set-Cookie: a=1; Path=/; HttpOnly", "Set-Cookie: b=2; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "set-cookie: a=3", "Set-Cookie: bad"},
	{"X-A: 1", "X-B: 2", "X-A: 3", "x-a: 4"},
	{"zebra: 1", "ALPHA: 2", "eTaG: \"x\"", "WWW-authenticate: Basic realm=\"a b\"", "Www-Authenticate: Digest x=1, y=\"2\""},
	{"X-Inside: a  b\tc   d", "X-None:x", "X-Tab:\tx", "X-Behind: x  ", "X-Empty:"},
	{"X-Obs: \xff\xfe\x80", "X-Utf8: grüße €"},
	{"!#$%&'*+-.^_`|~: odd name", "X_Y: 1"},
	{"Content-Type: text/html", "X-Content-Type: "},
	{"Content-Type:"},
	{"Content-Encoding: gzip", "Vary: *", "Accept-Ranges: none", "Content-Range: bytes 0-1/5"},
	{"Location: http://127.0.0.1:1/x?y#z", "Refresh: 5; url=/x", "Content-Location: //x", "Link: </x>; rel=preload"},
	{"Via: 1.1 other", "Alt-Svc: h3=\":443\"", "Strict-Transport-Security: max-age=1"},
	{"Cache-Control: max-age=1", "Cache-Control: private", "Age: 7", "Expires: 0", "Last-Modified: never"},
	{"X-Hop: 1", "Connection: x-hop", "X-Stays: 2"},
	{"Connection: Keep-Alive", "Keep-Alive: timeout=5, max=100"},
	{"Proxy-Connection: close", "X-Stays: 2"},
	{"X-Long: " + strings.Repeat("0123456789", 1500)},
	{"X-Forwarded-For-Not: 1", "Jurymast-Endpoint: origin", "Retry-After: 7"},
	many("X-Many", 200),
}

var corpusStatus = []string{
	"200 OK", "200 ", "200", "200 Alles gut", "200 \xe4\xf6\xfc \xff", "200 a\tb", "200  two blanks  ", "200 " + strings.Repeat("long ", 200), "200 404 Not Found",
	"201 Created", "202 Accepted", "203 Changed", "206 Partial Content", "207 Multi-Status", "226 IM Used", "299 Own", "300 Multiple Choices", "301 Moved", "302 Found",
	"307 x", "308 x", "400 Bad", "401 Unauthorized", "403 Forbidden", "404 Not Found", "405 x", "409 x", "410 Gone", "413 x", "417 x", "418 I'm a teapot", "421 x", "429 x", "431 x", "451 x",
	"499 x", "500 Internal Server Error", "501 x", "502 Bad Gateway", "503 Service Unavailable", "504 x", "505 x", "511 x", "599 x", "600 x", "999 Request denied",
}

var corpusPairs = []pair{
	{"empty line before the request line", "\r\n" + plainRequest, plainAnswer},
	{"Host with port", "GET / HTTP/1.1\r\nHOST: A.Example:8080\r\n\r\n", plainAnswer},
	{"Host at the end, without blank", "GET / HTTP/1.1\r\nAccept: a\r\nhost:a.example.\r\n\r\n", plainAnswer},
	{"OPTIONS of everything", "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", plainAnswer},
	{"POST without a body", "POST / HTTP/1.1\r\nHost: a.example\r\n\r\n", plainAnswer},
	{"GET with a body", "GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nbody", plainAnswer},
	{"DELETE with a body in chunks", "DELETE / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", plainAnswer},
	{"GET with an empty body in chunks", "GET / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", plainAnswer},
	{"trailers of the request", "POST / HTTP/1.1\r\nHost: a.example\r\nTrailer: X-Sum, x-b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1  2\r\nx-b: \xff\r\nX-Sum: 3\r\n\r\n", plainAnswer},
	{"trailers of the request that were not announced", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-SUM: 1\r\n\r\n", plainAnswer},
	{"trailers of the answer", plainRequest, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, x-b\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1  2\r\nx-b: \xff\r\nX-Sum: 3\r\n\r\n"},
	{"trailers of the answer that were not announced", plainRequest, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-SUM: 1\r\n\r\n"},
	{"trailers of an empty answer", plainRequest, "HTTP/1.1 200 OK\r\nTrailer: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: 1\r\n\r\n"},
	{"early hints", plainRequest, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nlink: </y>\r\n\r\nHTTP/1.1 103 Again\r\n\r\n" + plainAnswer},
	{"processing", plainRequest, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Odd\r\nX: y\r\n\r\n" + plainAnswer},
	{"100 nobody asked for", plainRequest, "HTTP/1.1 100 Continue\r\n\r\n" + plainAnswer},
	{"HEAD with a length", "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 12345\r\nX-B: 2\r\n\r\n"},
	{"HEAD without a length", "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"},
	{"HEAD with length 0", "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
	{"204", plainRequest, "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"},
	{"204 with length 0", plainRequest, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"},
	{"204 to DELETE", "DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 204 \r\n\r\n"},
	{"205", plainRequest, "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"},
	{"304", plainRequest, "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n"},
	{"304 with a length", plainRequest, "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nEtag: W/\"x\"\r\n\r\n"},
	{"nothing but a status", "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"},
	{"empty answer in chunks", plainRequest, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"chunks with extensions", plainRequest, "HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n2;a=b\r\nok\r\n0;c=\"d\"\r\n\r\n"},
	{"chunk sizes with zeros and in capitals", plainRequest, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00A\r\n0123456789\r\n000\r\n\r\n"},
	{"close asked for", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nX-A: 1\r\n\r\n", plainAnswer},
	{"close on both sides", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"},
	{"old origin that keeps", plainRequest, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"},
	{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a.example\r\nx-a: 1\r\n\r\n", plainAnswer},
	{"HTTP/1.0 with keep-alive", "POST / HTTP/1.0\r\nHost: a.example\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", plainAnswer},
}
