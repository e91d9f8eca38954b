package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// behind puts a handler in the place of the first origin.
func behind(t *testing.T, h http.HandlerFunc, change func(*proxy.Options, *profile.Profile)) *rig {
	t.Helper()
	o := origin(t, "eu", h)
	return newRig(t, func(opts *proxy.Options, p *profile.Profile) {
		p.Endpoints[0].Origin = o.URL()
		if change != nil {
			change(opts, p)
		}
	})
}

// raw sends bytes and returns all that comes until the connection ends.
func raw(t *testing.T, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(c)
	return string(b)
}

func TestTargetIsPassedOnUnchanged(t *testing.T) {
	r := behind(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }, nil)
	for _, target := range []string{
		"/", "/a%2fb", "/a%2Fb%20c", "//double//slash", "//double?x", "//d%2f?", "/../up/./x", "/a;p=1;q", "/?", "/?a=b&&c", "/a?b?c",
		"/%41%zz"[:4], "/{braces}|pipe", "/a+b@c:d", "/\"quoted\"", "/^`", "/q?%zz;%00",
	} {
		got := raw(t, r.addr, "GET "+target+" HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
		if _, body, _ := strings.Cut(got, "\r\n\r\n"); body != target {
			t.Errorf("%s: %s", target, got)
		}
	}
	got := raw(t, r.addr, "GET http://a.example/abs%2f?x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
	if !strings.HasSuffix(got, "/abs%2f?x") {
		t.Errorf("absolute form: %s", got)
	}
	if got := raw(t, r.addr, "OPTIONS * HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("OPTIONS *: %s", got)
	}
}

// What the origin gets: nothing added but X-Forwarded-*, nothing removed but the hop-by-hop fields and what the client
// says about the hops before it.
func TestRequestFields(t *testing.T) {
	var got http.Header
	var host string
	r := behind(t, func(w http.ResponseWriter, r *http.Request) { got, host = r.Header, r.Host }, nil)
	raw(t, r.addr, "GET / HTTP/1.1\r\nHost: A.Example:8080\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\n"+
		"Proxy-Authorization: x\r\nUpgrade: h2c\r\nX-Rep: 1\r\nX-Rep: 2\r\nSOAPAction: \"\"\r\nCookie: a=b\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nForwarded: for=1\r\n\r\n")
	if host != "A.Example:8080" {
		t.Errorf("Host %q", host)
	}
	port := got.Get("X-Forwarded-Port")
	want := http.Header{
		"Te": {"trailers"}, "X-Rep": {"1", "2"}, "Soapaction": {`""`}, "Cookie": {"a=b"},
		"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"A.Example:8080"}, "X-Forwarded-Port": {port},
	}
	if !reflect.DeepEqual(got, want) || !strings.HasSuffix(r.addr, ":"+port) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// What the client gets, byte for byte but for the order of fields.
func TestResponseIsTheOrigins(t *testing.T) {
	answers := map[string]string{
		"plain":           "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: 1\r\nX-A: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nabc",
		"empty":           "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"own date":        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: yesterday\r\nServer: origin\r\n\r\n",
		"no content":      "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
		"not modified":    "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n",
		"unknown status":  "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>",
		"chunked":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"trailers":        "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: end\r\n\r\n",
		"early hints":     "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"encoded":         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x00",
		"redirect":        "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:1/x\r\n\r\n",
		"length of HEAD":  "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n",
		"no length, HEAD": "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n",
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			r := behind(t, func(w http.ResponseWriter, _ *http.Request) {
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(c, answer)
				c.Close()
			}, nil)
			method := "GET"
			if strings.Contains(name, "HEAD") {
				method = "HEAD"
			}
			got := raw(t, r.addr, method+" / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
			got = strings.Replace(got, "Connection: close\r\n", "", 1) // the client asked for it
			if sorted(got) != sorted(answer) {
				t.Errorf("got  %q\nwant %q", got, answer)
			}
		})
	}
}

// sorted orders the fields of every head in a message.
func sorted(message string) string {
	parts := strings.Split(message, "\r\n\r\n")
	for i, p := range parts {
		if strings.HasPrefix(p, "HTTP/") {
			lines := strings.Split(p, "\r\n")
			slices.Sort(lines[1:])
			parts[i] = strings.Join(lines, "\r\n")
		}
	}
	return strings.Join(parts, "\r\n\r\n")
}

func TestContinueAndEarlyAnswer(t *testing.T) {
	r := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		_, _ = io.Copy(w, r.Body)
	}, nil)
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	br := bufio.NewReader(c)
	_, _ = io.WriteString(c, "POST /yes HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	if l, err := br.ReadString('\n'); err != nil || !strings.HasPrefix(l, "HTTP/1.1 100") {
		t.Fatal(l, err)
	}
	_, _ = br.ReadString('\n')
	_, _ = io.WriteString(c, "hi")
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "hi" {
		t.Errorf("got %q", b)
	}
	got := raw(t, r.addr, "POST /no HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 417") || strings.Contains(got, "100 Continue") {
		t.Errorf("a final status instead of 100: %q", got)
	}
}

func TestRequestTrailersAndLongBodies(t *testing.T) {
	r := behind(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, r.Trailer.Get("X-T"))
	}, nil)
	body := "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: end\r\n\r\n"
	if got := raw(t, r.addr, body); !strings.Contains(got, "3end") {
		t.Errorf("%s", got)
	}
	if a := r.must("PUT", "/", strings.NewReader(strings.Repeat("x", 3<<20))); a.body != fmt.Sprint(3<<20) {
		t.Errorf("%s", a.body)
	}
	if l := r.lines(2); l[0]["replay"] != "yes" || l[1]["replay"] != "no" || l[1]["bytes_in"] != float64(3<<20) {
		t.Errorf("log %v", l)
	}
}

// Events come as they are sent, not when the response ends; so does a response of known length.
func TestStreamsAsItComes(t *testing.T) {
	for _, length := range []string{"", "8"} {
		next := make(chan struct{})
		r := behind(t, func(w http.ResponseWriter, _ *http.Request) {
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			for range 2 {
				_, _ = io.WriteString(w, "tick")
				_ = http.NewResponseController(w).Flush()
				<-next
			}
		}, nil)
		req, _ := http.NewRequest("GET", "http://a.example/", nil)
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			b := make([]byte, 4)
			if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "tick" {
				t.Fatal(string(b), err)
			}
			next <- struct{}{}
		}
		resp.Body.Close()
	}
}

func TestForwardedTable(t *testing.T) {
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	rows := []struct {
		name             string
		trusted          []netip.Prefix
		in               []string
		want, client, by string
	}{
		{"nobody before", nil, nil, "127.0.0.1", "127.0.0.1", "socket"},
		{"untrusted is replaced", nil, []string{"1.2.3.4"}, "127.0.0.1", "127.0.0.1", "socket"},
		{"trusted is extended", local, []string{"1.2.3.4"}, "1.2.3.4, 127.0.0.1", "1.2.3.4", "x-forwarded-for"},
		{"right-most untrusted", local, []string{"6.6.6.6, 1.2.3.4, 10.0.0.1"}, "6.6.6.6, 1.2.3.4, 10.0.0.1, 127.0.0.1", "1.2.3.4", "x-forwarded-for"},
		{"several fields", local, []string{"6.6.6.6", "1.2.3.4"}, "6.6.6.6, 1.2.3.4, 127.0.0.1", "1.2.3.4", "x-forwarded-for"},
		{"junk ends the walk", local, []string{"1.2.3.4, junk, 10.0.0.1"}, "1.2.3.4, junk, 10.0.0.1, 127.0.0.1", "10.0.0.1", "x-forwarded-for"},
		{"all trusted", local, []string{"10.0.0.2"}, "10.0.0.2, 127.0.0.1", "10.0.0.2", "x-forwarded-for"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var got http.Header
			r := behind(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header }, func(o *proxy.Options, _ *profile.Profile) { o.TrustedProxies = row.trusted })
			header := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "public.example"}
			for _, v := range row.in {
				header = append(header, "X-Forwarded-For", v)
			}
			r.must("GET", "/", nil, header...)
			proto, host := "http", "a.example"
			if row.trusted != nil {
				proto, host = "https", "public.example"
			}
			if got.Get("X-Forwarded-For") != row.want || got.Get("X-Forwarded-Proto") != proto || got.Get("X-Forwarded-Host") != host {
				t.Errorf("got %v", got)
			}
			if l := r.lines(1)[0]; l["client"] != row.client || l["client_source"] != row.by {
				t.Errorf("log says %v %v, want %s %s", l["client"], l["client_source"], row.client, row.by)
			}
		})
	}
}

func TestRoutingTable(t *testing.T) {
	r := newRig(t, nil)
	dns := &profile.Profile{Name: "dns", Enabled: true, Hostnames: []string{"dns.example"}, Routing: profile.Priority, Endpoints: r.profile.Endpoints}
	r.documents(r.profile, dns)
	rows := []struct {
		host, want string
	}{
		{"a.example", "200"},
		{"A.EXAMPLE", "200"},
		{"a.example.", "200"},
		{"a.example:8080", "200"},
		{"a.example.:8080", "200"},
		{"x.w.example", "200"},
		{"x.y.w.example", "404 PR"},
		{"w.example", "404 PR"},
		{"b.example", "404 PR"},
		{"127.0.0.1", "404 PR"},
		{"[::1]:80", "404 PR"},
		{"dns.example", "404 PR"},
	}
	for _, row := range rows {
		a := r.must("GET", "/", nil, "Host", row.host)
		got := fmt.Sprint(a.StatusCode)
		if a.StatusCode != 200 {
			got += " " + a.reason(t)
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", row.host, got, row.want)
		}
	}
	if a := r.must("GET", "/", nil, "Host", "dns.example"); !strings.Contains(a.body, "DNS only") {
		t.Errorf("%s", a.body)
	}
	for _, method := range []string{"CONNECT", "TRACE"} {
		got := raw(t, r.addr, method+" a.example:80 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
		if method == "TRACE" {
			got = raw(t, r.addr, "TRACE / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
		}
		if !strings.HasPrefix(got, "HTTP/1.1 405") {
			t.Errorf("%s: %s", method, got)
		}
	}
	if got := raw(t, r.addr, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close, Cookie\r\nCookie: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, `"CM"`) {
		t.Errorf("Connection names Cookie: %s", got)
	}
}

func TestConfigurationIsRefused(t *testing.T) {
	r := newRig(t, nil)
	before := r.hub.Load()
	other := *r.profile
	other.Name = "other"
	for name, change := range map[string]func(*profile.Profile){
		"host name a.example is in profiles": func(*profile.Profile) {},
		"without a path":                     func(p *profile.Profile) { p.Hostnames = nil; p.Endpoints[0].Origin = "http://x/path" },
		"write http://host:port":             func(p *profile.Profile) { p.Hostnames = nil; p.Endpoints[0].Origin = "ftp://x" },
	} {
		o := other
		o.Endpoints = slices.Clone(other.Endpoints)
		change(&o)
		if err := r.refused(r.profile, &o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
	if r.hub.Load() != before {
		t.Error("a refused configuration changed something")
	}
}

func TestBindErrorNamesRemedy(t *testing.T) {
	s := httptest.NewServer(nil)
	defer s.Close()
	addr := s.Listener.Addr().String()
	_, err := proxy.New(proxy.Options{Hub: newHub(), HTTP: []string{"127.0.0.1:0"}, HTTPS: []string{addr}})
	if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "node.proxy.https") {
		t.Errorf("got %v", err)
	}
}

func TestAccessLogHidesSecrets(t *testing.T) {
	r := newRig(t, nil)
	r.must("GET", "/p?token=hunter2", nil, "Cookie", "sid=hunter2", "Authorization", "Bearer hunter2", "User-Agent", "test/1")
	l := r.lines(1)[0]
	if strings.Contains(r.log.String(), "hunter2") {
		t.Errorf("a secret is in the log: %s", r.log.String())
	}
	for field, want := range map[string]any{
		"node": "n1", "method": "GET", "host": "a.example", "path": "/p", "status": 200.0, "reason": "OK", "profile": "integration",
		"endpoint": "eu", "epoch": 1.0, "attempts": 1.0, "bytes_out": 2.0, "user_agent": "test/1", "listener": r.addr,
	} {
		if l[field] != want {
			t.Errorf("%s is %v, want %v", field, l[field], want)
		}
	}
	if h, _ := l["query_hash"].(string); len(h) != 16 {
		t.Errorf("query_hash %v", l["query_hash"])
	}
}

func TestDebugHeaders(t *testing.T) {
	r := newRig(t, nil)
	if a := r.must("GET", "/", nil); a.Header.Get("Jurymast-Reason") != "" {
		t.Error("debug fields without being asked")
	}
	r.edit(func(p *profile.Profile) { p.Proxy.DebugHeaders = true })
	a := r.must("GET", "/", nil)
	if a.Header.Get("Jurymast-Endpoint") != "eu" || a.Header.Get("Jurymast-Epoch") != "2" || a.Header.Get("Jurymast-Reason") != "OK" {
		t.Errorf("%v", a.Header)
	}
}
