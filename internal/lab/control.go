package lab

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
)

// labPrefix is where a stand-in is watched and broken; no fault acts there.
const labPrefix = "/lab/"

const labHelp = `Jurymast lab tenant

GET    /lab/stats    requests, executed messages, per minute, per day, quota left
GET    /lab/fault    the current fault
POST   /lab/fault    break or mend it: {"kind":"error","for":"10s","share":0.5,"path":"/http/health"}
                     kinds: error hang slow(ms,jitter) refuse reset undeploy unmap overload tls(mode) none
DELETE /lab/fault    mend it
GET    /lab/ca.pem   the authority of a self-signed tenant
`

const noteControl = "this closes the port (or breaks every handshake) itself, /lab/fault on it included: mend it through the control listener, or give \"for\""

// lab answers /lab/*, on the tenant's own listener and on the control listener.
func (t *Tenant) lab(r *http.Request) answer {
	switch {
	case r.URL.Path == labPrefix && reads(r):
		return textAnswer(http.StatusOK, typeText, labHelp)
	case r.URL.Path == "/lab/stats":
		if !reads(r) {
			return wrongMethod(r, "GET")
		}
		return jsonAnswer(http.StatusOK, t.Stats())
	case r.URL.Path == "/lab/ca.pem" && reads(r) && t.authority != nil:
		return textAnswer(http.StatusOK, "application/x-pem-file", string(t.authority.pem))
	case r.URL.Path == "/lab/fault":
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			return jsonAnswer(http.StatusOK, t.faultView())
		case http.MethodDelete:
			return t.takeFault(Fault{Kind: FaultNone, Share: 1})
		case http.MethodPost, http.MethodPut:
			return t.postFault(r)
		}
		return wrongMethod(r, "GET, POST, DELETE")
	}
	return problem(http.StatusNotFound, "no "+shorten40(r.URL.Path)+" here; GET /lab/ lists what there is", nil)
}

func wrongMethod(r *http.Request, allow string) answer {
	return problem(http.StatusMethodNotAllowed, shorten40(r.Method)+" is not allowed here; allowed: "+allow, nil).with("Allow", allow)
}

func (t *Tenant) postFault(r *http.Request) answer {
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxFaultText))
	if err != nil {
		return problem(http.StatusBadRequest, "cannot read the body: "+err.Error(), nil)
	}
	f, err := ParseFault(text)
	if err != nil {
		more := map[string]any{}
		if bad, ok := errors.AsType[*faultError](err); ok {
			if bad.near != "" {
				more["nearest"] = bad.near
			}
			if len(bad.allow) > 0 {
				more["allowed"] = bad.allow
			}
		}
		return problem(http.StatusBadRequest, err.Error(), more)
	}
	return t.takeFault(f)
}

func (t *Tenant) takeFault(f Fault) answer {
	if err := t.SetFault(f); err != nil {
		return problem(http.StatusConflict, err.Error(), nil)
	}
	return jsonAnswer(http.StatusOK, t.faultView())
}

// ErrFault is wrapped by SetFault when this tenant cannot carry out an order.
var ErrFault = errors.New("fault not possible here")

type impossible string

func (e impossible) Error() string { return string(e) }
func (e impossible) Unwrap() error { return ErrFault }

// SetFault breaks the tenant, or mends it (FaultNone), and returns when that holds for the next request or connection.
func (t *Tenant) SetFault(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	cuts := f.Kind == FaultRefuse || f.Kind == FaultTLS && f.Mode == ModeHandshake
	switch {
	case f.Kind == FaultTLS && !t.opts.secure():
		return impossible("tls: this tenant speaks no TLS; start it with --tls")
	case cuts && f.For == 0 && t.opts.Control == ControlOff:
		return impossible(string(f.Kind) + ": " + noteControl + "; there is no control listener, so give for example \"for\":\"10s\" or start with --control 127.0.0.1:0")
	}
	t.faults.set(f)
	return nil
}

func (t *Tenant) faultView() faultView {
	v := t.faults.view()
	v.Seed = t.seed
	if addr := t.ControlAddr(); addr != "" {
		v.Control = "http://" + addr + "/lab/fault"
	}
	if v.Kind == FaultRefuse || v.Kind == FaultTLS {
		v.Note = noteControl
		if v.Path != "" {
			v.Note += "; path does not count, it acts before a request is read"
		}
	}
	return v
}

// controlHandler serves the control listener: /lab/* and nothing else.
func (t *Tenant) controlHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.lab(r).write(w, r)
	})
}

func escapeXML(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder never fails
	return b.String()
}

// MarshalJSON writes the fault in the form ParseFault reads.
func (f Fault) MarshalJSON() ([]byte, error) {
	out := faultText{Kind: new(string(f.Kind)), Share: &f.Share}
	if f.For > 0 {
		out.For = new(f.For.String())
	}
	if f.Path != "" {
		out.Path = &f.Path
	}
	if f.Kind == FaultSlow {
		out.MS, out.Jitter = &f.Delay, &f.Jitter
	}
	if f.Mode != "" {
		out.Mode = &f.Mode
	}
	return json.Marshal(out)
}
