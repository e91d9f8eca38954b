package lab

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxBody is the adapters' usual limit.
	maxBody = 40 << 20
	// bodyTimeout is the original's limit for reading a request body.
	bodyTimeout = 20 * time.Second
)

const platformPrefix = "/api/v1"

// The faults a request may meet, by where it goes.
var (
	platformFaults = []FaultKind{FaultReset, FaultHang, FaultSlow, FaultOverload}
	runtimeFaults  = append([]FaultKind{FaultUnmap, FaultUndeploy, FaultError}, platformFaults...)
)

// ServeHTTP answers one request as the tenant would. It is the whole tenant without its sockets.
func (t *Tenant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, labPrefix) {
		t.lab(r).write(w, r)
		return
	}
	t.account.asked()
	platform := isPlatform(r.URL.Path)
	fault, alive := t.meet(w, r, platform)
	if !alive {
		return
	}
	var a answer
	if platform {
		a = t.platform(w, r, fault)
	} else {
		a = t.runtime(w, r, fault)
	}
	if a.dropped {
		drop(w, false)
		return
	}
	t.account.answered(a.status)
	if t.faults.kind() == FaultTLS {
		a = a.with("Connection", "close") // so that the next request meets the broken handshake
	}
	a.write(w, r)
}

func isPlatform(path string) bool {
	return path == "/oauth/token" || path == platformPrefix || strings.HasPrefix(path, platformPrefix+"/")
}

// meet lets the faults that break the transport act. alive is false when the request has ended there; otherwise
// fault is what is left to act on.
func (t *Tenant) meet(w http.ResponseWriter, r *http.Request, platform bool) (fault Fault, alive bool) {
	kinds := runtimeFaults
	if platform {
		kinds = platformFaults
	}
	kept := false
	for {
		f, mended := t.faults.hit(r.URL.Path, kinds...)
		if f.Kind == FaultReset {
			drop(w, true)
			return f, false
		}
		if f.Kind != FaultHang {
			return f, true
		}
		if !kept { // a client that leaves is noticed only once its body has been read
			body, err := readBody(w, r)
			if err != nil {
				drop(w, false)
				return f, false
			}
			r.Body, kept = io.NopCloser(bytes.NewReader(body)), true
		}
		select {
		case <-mended:
		case <-r.Context().Done():
			return f, false
		case <-t.stopping:
			drop(w, false)
			return f, false
		}
	}
}

// drop ends a connection without an answer, with a reset if rst.
func drop(w http.ResponseWriter, rst bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn() // no farewell of TLS either
	}
	if tcp, ok := conn.(*net.TCPConn); ok && rst {
		_ = tcp.SetLinger(0) // without it the client sees an orderly end, which is the lesser fault
	}
	_ = conn.Close()
}

// runtime answers a request for a flow. The rows of the table are tried in this order; see docs/lab.md.
func (t *Tenant) runtime(w http.ResponseWriter, r *http.Request, f Fault) answer {
	a, flow := t.admit(r, f)
	if flow != nil {
		return t.execute(w, r, flow, f)
	}
	if f.Kind == FaultSlow && !t.pause(r, t.faults.delay(f)) {
		return answer{dropped: true}
	}
	return a
}

// admit returns the flow that shall run, or the answer when none does.
func (t *Tenant) admit(r *http.Request, f Fault) (answer, *artifact) {
	if f.Kind == FaultOverload {
		return tomcat(http.StatusServiceUnavailable), nil
	}
	if f.Kind == FaultUnmap || !t.opts.mapped(r) {
		return noRoute(r.Host), nil
	}
	if !t.runtimeOpen() {
		if a, ok := t.refusal(t.identify(r), roleSend); !ok {
			return a, nil
		}
	}
	flow := t.landscape.find(r.URL.Path, t.opts.Now())
	if flow == nil || f.Kind == FaultUndeploy {
		return tomcat(http.StatusNotFound), nil
	}
	protected := t.opts.CSRF && flow.csrf
	switch {
	case r.Method == http.MethodHead && !fetches(r), r.Method != http.MethodHead && r.Method != http.MethodGet && !modifies(r.Method):
		return tomcat(http.StatusMethodNotAllowed).with("Allow", "GET, POST, PUT, PATCH, DELETE"), nil
	case protected && fetches(r):
		return t.secrets.issue(answer{status: http.StatusOK}, r, true), nil
	case r.Method == http.MethodHead:
		return answer{status: http.StatusOK}, nil
	case protected && modifies(r.Method) && !t.secrets.proven(r):
		return t.secrets.issue(tomcat(http.StatusForbidden), r, false), nil
	}
	return answer{}, flow
}

// execute runs a flow: from here on the request is a message.
func (t *Tenant) execute(w http.ResponseWriter, r *http.Request, flow *artifact, f Fault) answer {
	body, err := readBody(w, r)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return tomcat(http.StatusRequestEntityTooLarge)
		}
		return answer{dropped: true}
	}
	m := t.account.begin(flow.ID)
	if f.Kind == FaultSlow && !t.pause(r, t.faults.delay(f)) {
		t.account.finish(m, messageCancelled)
		return answer{dropped: true}
	}
	if f.Kind == FaultError || flow.kind == flowBroken {
		t.account.finish(m, messageFailed)
		if t.opts.ReturnException {
			return textAnswer(http.StatusInternalServerError, typeText, textException)
		}
		return textAnswer(http.StatusInternalServerError, typeText, textFailed+m.id)
	}
	a := t.run(r, flow, m, body)
	t.account.finish(m, messageCompleted)
	return a.with(headerCorrelID, m.correlation)
}

// run is what the flows do.
func (t *Tenant) run(r *http.Request, flow *artifact, m *message, body []byte) answer {
	if flow.kind == flowSOAP {
		return textAnswer(http.StatusOK, typeSOAP, t.envelope())
	}
	if flow.kind == flowEcho {
		a := answer{status: http.StatusOK, kind: r.Header.Get("Content-Type"), body: body}
		if len(body) == 0 {
			a = answer{status: http.StatusNoContent}
		}
		if code, err := strconv.Atoi(r.Header.Get("CamelHttpResponseCode")); err == nil && code >= 200 && code <= 599 {
			a.status = code
		}
		return a.with("SAP_MessageProcessingLogID", m.id)
	}
	return textAnswer(http.StatusOK, typeText, "hello from "+t.opts.Region)
}

// envelope is the answer of the SOAP flows: an invention of ours, not a format of the original.
func (t *Tenant) envelope() string {
	return `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>` +
		`<pingResponse xmlns="urn:jurymast:lab"><text>hello from ` + escapeXML(t.opts.Region) + `</text></pingResponse></soap:Body></soap:Envelope>`
}

// pause waits; false when the client left or the tenant stops.
func (t *Tenant) pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-t.stopping:
	}
	return false
}

// readBody reads a whole body within the original's limits of size and time.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout)) // a writer without a socket has no deadline and needs none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = rc.SetReadDeadline(time.Time{})
	return body, err
}
