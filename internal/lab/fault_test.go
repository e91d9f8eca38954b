package lab

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const askHealth = "GET /http/health HTTP/1.1\r\nHost: h\r\n\r\n"

// once sends one request over a new connection and returns the status.
func once(addr string) (int, error) {
	c, err := tryDial(addr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, askHealth); err != nil {
		return 0, err
	}
	status, _, err := readAnswer(c)
	return status, err
}

func wantUp(t *testing.T, tenant *Tenant) {
	t.Helper()
	if status, err := once(tenant.Addr()); err != nil || status != http.StatusOK {
		t.Errorf("mended tenant: %d, %v", status, err)
	}
}

func TestFaultRefuse(t *testing.T) {
	tenant := startTenant(t, TenantOptions{})
	idle := dial(t, tenant.Addr())
	defer idle.Close()
	if _, err := io.WriteString(idle, askHealth); err != nil {
		t.Fatal(err)
	}
	if status, _, err := readAnswer(idle); err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	addr := tenant.Addr()
	if v := order(t, tenant, `{"kind":"refuse"}`); v.Kind != FaultRefuse || !strings.Contains(v.Note, "control") {
		t.Errorf("view %+v", v)
	}
	if _, err := tryDial(addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, want connection refused", err)
	}
	if n, err := idle.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("idle connection: %d, %v, want it closed", n, err)
	}
	order(t, tenant, `{"kind":"none"}`)
	if tenant.Addr() != addr {
		t.Errorf("address changed from %s to %s", addr, tenant.Addr())
	}
	wantUp(t, tenant)
}

func TestFaultRefuseMendsItself(t *testing.T) {
	tenant := startTenant(t, TenantOptions{Control: ControlOff})
	_, mended := tenant.faults.hit("/")
	err := tenant.SetFault(Fault{Kind: FaultRefuse, Share: 1})
	if !errors.Is(err, ErrFault) || !strings.Contains(err.Error(), "--control") {
		t.Errorf("without control and for: %v", err)
	}
	if err := tenant.SetFault(Fault{Kind: FaultRefuse, Share: 1, For: 30 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	<-mended // closed by the order itself
	_, mended = tenant.faults.hit("/")
	select {
	case <-mended:
	case <-time.After(guard):
		t.Fatal("it does not mend itself")
	}
	tenant.faults.order.Lock()   // the change is carried out before the order ends
	tenant.faults.order.Unlock() //nolint:staticcheck // waiting is the purpose
	wantUp(t, tenant)
}

func TestFaultRefuseShare(t *testing.T) {
	tenant := startTenant(t, TenantOptions{Seed: 3})
	order(t, tenant, `{"kind":"refuse","share":0.5}`)
	seen := map[bool]bool{}
	for deadline := time.Now().Add(guard); len(seen) < 2 && time.Now().Before(deadline); {
		c, err := tryDial(tenant.Addr())
		seen[err == nil] = true
		if err == nil {
			_ = c.Close()
		}
	}
	if len(seen) < 2 {
		t.Errorf("in %v only %v", guard, seen)
	}
	order(t, tenant, `{"kind":"none"}`)
	wantUp(t, tenant)
}

func TestFaultReset(t *testing.T) {
	for _, secure := range []bool{false, true} {
		tenant := startTenant(t, TenantOptions{SelfSigned: secure})
		order(t, tenant, `{"kind":"reset","path":"/http/health"}`)
		c := dial(t, tenant.Addr())
		if secure {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		}
		if _, err := io.WriteString(c, askHealth); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("tls %v: %v, want a reset", secure, err)
		}
		_ = c.Close()
		order(t, tenant, `{"kind":"none"}`)
		if !secure {
			wantUp(t, tenant)
		}
	}
}

func TestFaultHang(t *testing.T) {
	tenant := startTenant(t, TenantOptions{})
	order(t, tenant, `{"kind":"hang"}`)
	waiting, leaving := dial(t, tenant.Addr()), dial(t, tenant.Addr())
	defer waiting.Close()
	for _, c := range []net.Conn{waiting, leaving} {
		if _, err := io.WriteString(c, "POST /http/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"); err != nil {
			t.Fatal(err)
		}
	}
	if err := waiting.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := waiting.Read(make([]byte, 1)); n != 0 || !isTimeout(err) {
		t.Errorf("hanging: %d, %v, want no byte", n, err)
	}
	_ = leaving.Close()
	if err := waiting.SetReadDeadline(time.Now().Add(guard)); err != nil {
		t.Fatal(err)
	}
	order(t, tenant, `{"kind":"none"}`)
	if status, body, err := readAnswer(waiting); err != nil || status != http.StatusOK || body != "hi" {
		t.Errorf("mended: %d %q %v", status, body, err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestFaultHangDoesNotDelayClose(t *testing.T) {
	tenant := startTenant(t, TenantOptions{StopGrace: guard})
	order(t, tenant, `{"kind":"hang"}`)
	c := dial(t, tenant.Addr())
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, askHealth); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(guard); tenant.faults.view().Hits == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the request never arrived")
		}
	}
	start := time.Now()
	if err := tenant.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > guard/2 {
		t.Errorf("closing took %v", took)
	}
	select {
	case <-tenant.Done():
	default:
		t.Error("Done is not closed")
	}
}

func TestFaultSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant(t, TenantOptions{Auth: []Credential{sender}, Seed: 1})
		defer tenant.Close() //nolint:errcheck // its end is not the subject
		set(t, tenant, `{"kind":"slow","ms":800,"jitter":200}`)
		var seen []time.Duration
		for range 3 {
			start := time.Now()
			if w := call(tenant, request(t, http.MethodGet, "/http/ping", "")); w.Code != http.StatusUnauthorized {
				t.Fatal(w.Code)
			}
			seen = append(seen, time.Since(start))
		}
		for _, d := range seen {
			if d < 800*time.Millisecond || d > time.Second {
				t.Errorf("late by %v", d)
			}
		}
		if seen[0] == seen[1] && seen[1] == seen[2] {
			t.Error("no jitter")
		}
		// A message in flight is visible as PROCESSING.
		done := make(chan struct{})
		go func() {
			defer close(done)
			call(tenant, request(t, http.MethodGet, "/http/ping", "", basic(sender)))
		}()
		synctest.Wait()
		if n := len(tenant.account.messages(messageProcessing)); n != 1 {
			t.Errorf("%d messages in PROCESSING", n)
		}
		<-done
		if n := len(tenant.account.messages(messageCompleted)); n != 1 {
			t.Errorf("%d messages in COMPLETED", n)
		}
	})
}

func set(t *testing.T, tenant *Tenant, text string) {
	t.Helper()
	if w := call(tenant, request(t, http.MethodPost, "/lab/fault", text)); w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", text, w.Code, w.Body)
	}
}

func TestFaultForSharePath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant(t, TenantOptions{Seed: 5})
		defer tenant.Close() //nolint:errcheck // its end is not the subject
		get := func(path string) int { return call(tenant, request(t, http.MethodGet, path, "")).Code }

		set(t, tenant, `{"kind":"error","for":"10s","path":"/http/HEALTH"}`)
		if a, b := get("/http/health"), get("/http/ping"); a != 500 || b != 200 {
			t.Errorf("path: %d %d", a, b)
		}
		time.Sleep(9 * time.Second)
		if a := get("/http/health"); a != 500 {
			t.Errorf("after 9 s: %d", a)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if a := get("/http/health"); a != 200 {
			t.Errorf("after 10 s: %d", a)
		}

		// A newer order is not mended by the clock of an older one.
		set(t, tenant, `{"kind":"error","for":"10s"}`)
		set(t, tenant, `{"kind":"overload"}`)
		time.Sleep(time.Minute)
		if a := get("/http/health"); a != 503 {
			t.Errorf("newer order: %d", a)
		}

		set(t, tenant, `{"kind":"overload","share":0.25}`)
		bad := 0
		for range 1000 {
			if get("/http/ping") == 503 {
				bad++
			}
		}
		if bad < 200 || bad > 300 {
			t.Errorf("share 0.25 hit %d of 1000", bad)
		}
		if v := tenant.faults.view(); v.Hits != uint64(bad) {
			t.Errorf("hits %d, want %d", v.Hits, bad)
		}
		set(t, tenant, `{"kind":"overload","path":"/http/ha/*"}`)
		if a, b, c := get("/http/ha/health"), get("/http/ping"), get("/http/hall"); a != 503 || b != 200 || c != 404 {
			t.Errorf("wildcard: %d %d %d", a, b, c)
		}
	})
}

func TestSeedRepeats(t *testing.T) {
	run := func(seed uint64) string {
		tenant := newTenant(t, TenantOptions{Seed: seed})
		set(t, tenant, `{"kind":"error","share":0.5}`)
		var b strings.Builder
		for range 64 {
			fmt.Fprint(&b, call(tenant, request(t, http.MethodGet, "/http/ping", "")).Code/100)
		}
		return b.String()
	}
	if a, b := run(11), run(11); a != b {
		t.Errorf("same seed:\n%s\n%s", a, b)
	}
	if a, b := run(11), run(12); a == b {
		t.Errorf("other seed, same dice: %s", a)
	}
	if newTenant(t, TenantOptions{Seed: 11}).Seed() != 11 {
		t.Error("the seed is not told")
	}
}

func TestFaultTLS(t *testing.T) {
	tenant := startTenant(t, TenantOptions{SelfSigned: true, Hosts: []string{"integration.dr.example", "*.dr.example"}})
	status, pem := getControl(t, tenant, "/lab/ca.pem")
	pool := x509.NewCertPool()
	if status != http.StatusOK || !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no authority")
	}
	try := func(name string) error {
		c := tls.Client(dial(t, tenant.Addr()), &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12})
		defer func() { _ = c.Close() }()
		if err := c.HandshakeContext(t.Context()); err != nil {
			return err
		}
		if _, err := io.WriteString(c, "GET /http/health HTTP/1.1\r\nHost: "+name+"\r\n\r\n"); err != nil {
			return err
		}
		status, _, err := readAnswer(c)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	}
	for _, name := range []string{"integration.dr.example", "other.dr.example"} {
		if err := try(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var wrong x509.HostnameError
	var invalid x509.CertificateInvalidError
	var alert tls.AlertError
	order(t, tenant, `{"kind":"tls"}`)
	if err := try("integration.dr.example"); !errors.As(err, &wrong) {
		t.Errorf("wrong-name: %v", err)
	}
	order(t, tenant, `{"kind":"tls","mode":"expired"}`)
	if err := try("integration.dr.example"); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("expired: %v", err)
	}
	order(t, tenant, `{"kind":"tls","mode":"handshake"}`)
	if err := try("integration.dr.example"); err == nil || errors.As(err, &alert) && alert == 0 || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("handshake: %v", err)
	}
	order(t, tenant, `{"kind":"none"}`)
	if err := try("integration.dr.example"); err != nil {
		t.Errorf("mended: %v", err)
	}
}

func getControl(t *testing.T, tenant *Tenant, path string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+tenant.ControlAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, http.DefaultTransport, req)
}

func TestFaultOrders(t *testing.T) {
	tenant := newTenant(t, TenantOptions{})
	cases := []struct{ text, want string }{
		{`{"kind":"eror"}`, `kind: "eror" is unknown; allowed: error, hang, slow, refuse, reset, undeploy, unmap, overload, tls, none; nearest: error`},
		{`{}`, "kind: it is missing; allowed: error"},
		{``, "no JSON object"},
		{`[1]`, "no JSON object"},
		{`{"kind":"slow","mss":3}`, "mss: unknown key; allowed: kind, for, share, path, ms, jitter, mode; nearest: ms"},
		{`{"kind":"slow","for":10}`, `for: a JSON number is not allowed here`},
		{`{"kind":"slow","for":"ten"}`, `for: "ten" is no duration`},
		{`{"kind":"slow","for":"25h"}`, "want 0s to 24h"},
		{`{"kind":"slow","share":2}`, "want 0 to 1"},
		{`{"kind":"slow","ms":-1}`, "ms: -1 is out of range"},
		{`{"kind":"error","path":"http"}`, "does not start with /"},
		{`{"kind":"error","path":"/lab/fault"}`, "faults never affect /lab/*"},
		{`{"kind":"error","ms":5}`, "belong to kind slow"},
		{`{"kind":"error","mode":"expired"}`, "belongs to kind tls"},
		{`{"kind":"tls","mode":"expird"}`, "nearest: expired"},
		{`{"kind":"error"}{"kind":"none"}`, "more than one"},
	}
	for _, c := range cases {
		w := call(tenant, request(t, http.MethodPost, "/lab/fault", c.text))
		got := decode[struct{ Detail string }](t, w.Body.Bytes())
		if w.Code != http.StatusBadRequest || w.Header().Get("Content-Type") != typeProblem || !strings.Contains(got.Detail, c.want) {
			t.Errorf("%s: %d %q, want %q", c.text, w.Code, got.Detail, c.want)
		}
	}
	if w := call(tenant, request(t, http.MethodPost, "/lab/fault", `{"kind":"tls"}`)); w.Code != http.StatusConflict {
		t.Errorf("tls without TLS: %d", w.Code)
	}
	set(t, tenant, `{"kind":"hang","for":"10s"}`)
	w := call(tenant, request(t, http.MethodGet, "/lab/fault", ""))
	if v := decode[faultView](t, w.Body.Bytes()); v.Kind != FaultHang || v.For != "10s" || v.Until == nil || v.Share != 1 || v.Seed != 7 {
		t.Errorf("view %+v", v)
	}
	if w := call(tenant, request(t, http.MethodDelete, "/lab/fault", "")); w.Code != http.StatusOK || tenant.faults.kind() != FaultNone {
		t.Errorf("DELETE: %d", w.Code)
	}
}

func FuzzParseFault(f *testing.F) {
	f.Add([]byte(`{"kind":"slow","ms":800,"jitter":200,"for":"30s","share":0.5,"path":"/http/*"}`))
	f.Add([]byte(`{"kind":"tls","mode":"expired"}`))
	f.Add([]byte(`{"kind":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		fault, err := ParseFault(text)
		if err != nil {
			return
		}
		again, err := fault.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseFault(again); err != nil || fault.Kind != FaultNone && back != fault {
			t.Errorf("%+v became %+v by %s: %v", fault, back, again, err)
		}
	})
}
