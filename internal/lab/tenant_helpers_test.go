package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// guard bounds every wait of a test that uses sockets.
const guard = 10 * time.Second

const clientID = "sb-4711!b15|it-rt-dr-primary!b26"

var (
	sender  = Credential{User: clientID, Password: "se:cr$et="}
	visitor = Credential{User: "visitor", Password: "v"}
	apiKey  = Credential{User: "sb-api!b15|it!b26", Password: "a"}
)

func newTenant(t *testing.T, o TenantOptions) *Tenant {
	t.Helper()
	if o.Seed == 0 {
		o.Seed = 7
	}
	tenant, err := NewTenant(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tenant.Close() })
	return tenant
}

func startTenant(t *testing.T, o TenantOptions) *Tenant {
	t.Helper()
	tenant := newTenant(t, o)
	if err := tenant.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tenant
}

// call asks the tenant without sockets.
func call(tenant *Tenant, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	tenant.ServeHTTP(w, r)
	return w
}

func request(t *testing.T, method, path, body string, edit ...func(*http.Request)) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for _, e := range edit {
		e(r)
	}
	return r
}

func basic(c Credential) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(c.User, c.Password) }
}

func head(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }

func decode[T any](t *testing.T, text []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// raw sends text over a new connection and returns the whole answer as it came.
func raw(t *testing.T, addr, text string) string {
	t.Helper()
	c := dial(t, addr)
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("after %q: %v", all, err)
	}
	return string(all)
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := tryDial(addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryDial(addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(guard))
}

// readAnswer reads one answer from a connection.
func readAnswer(c net.Conn) (int, string, error) {
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// order posts a fault to the control listener and wants it taken.
func order(t *testing.T, tenant *Tenant, text string) faultView {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+tenant.ControlAddr()+"/lab/fault", bytes.NewReader([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	status, body := send(t, http.DefaultTransport, req)
	if status != http.StatusOK {
		t.Fatalf("fault %s: %d %s", text, status, body)
	}
	return decode[faultView](t, body)
}

func send(t *testing.T, rt http.RoundTripper, req *http.Request) (int, []byte) {
	t.Helper()
	req.Close = true
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// header is the first value of a header as it was spelled by the tenant, which is not how Go would spell it.
func header(w *httptest.ResponseRecorder, name string) string {
	for key, values := range w.Header() {
		if key == name {
			return values[0]
		}
	}
	return ""
}
