package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// FaultKind names one way to break a stand-in.
type FaultKind string

// The kinds of fault. Which requests each one touches is told in the package comment.
const (
	FaultNone     FaultKind = "none"     // mended
	FaultError    FaultKind = "error"    // the flow fails at run time: 500; without credentials the 401 comes first
	FaultHang     FaultKind = "hang"     // reads the request and never answers until mended or the client leaves
	FaultSlow     FaultKind = "slow"     // answers ms plus a random 0..jitter milliseconds late
	FaultRefuse   FaultKind = "refuse"   // the listener is closed: TCP connections are refused
	FaultReset    FaultKind = "reset"    // the connection is reset (RST) once the request has been read
	FaultUndeploy FaultKind = "undeploy" // nothing is deployed: 404 for authenticated calls, 401 stays for the others
	FaultUnmap    FaultKind = "unmap"    // the host is not mapped: 404 of the router
	FaultOverload FaultKind = "overload" // 503
	FaultTLS      FaultKind = "tls"      // TLS is broken as mode says
)

// FaultKinds are all kinds in the order the documentation lists them.
var FaultKinds = []FaultKind{
	FaultError, FaultHang, FaultSlow, FaultRefuse, FaultReset, FaultUndeploy, FaultUnmap, FaultOverload, FaultTLS, FaultNone,
}

// The modes of FaultTLS.
const (
	ModeWrongName = "wrong-name" // a certificate for another name
	ModeExpired   = "expired"    // a certificate that ran out yesterday
	ModeHandshake = "handshake"  // the handshake is answered with an alert
)

var tlsModes = []string{ModeWrongName, ModeExpired, ModeHandshake}

// maxFor bounds how long a fault may last, maxDelay one slow answer (milliseconds): a day is more than any drill.
const (
	maxFor       = 24 * time.Hour
	maxDelay     = 86_400_000
	defaultDelay = 1000
	maxFaultText = 64 << 10
)

// Fault is one order to break a stand-in.
type Fault struct {
	Kind FaultKind
	// For is how long until it mends itself, up to 24 h; 0: until the next order.
	For time.Duration
	// Share of the requests (connections, for tls; time, for refuse) that are touched, 0 to 1.
	Share float64
	// Path limits it to one path, compared without case; a trailing * matches any rest. Empty: every path.
	Path string
	// Delay and Jitter belong to slow, milliseconds: each answer is late by Delay plus a random 0..Jitter.
	Delay, Jitter int
	// Mode belongs to tls.
	Mode string
}

// faultError is the answer to an order that cannot be carried out.
type faultError struct {
	key    string // the key that is wrong, empty for the text as a whole
	detail string
	near   string   // nearest allowed value, may be empty
	allow  []string // allowed values, may be empty
}

func (e *faultError) Error() string {
	var b strings.Builder
	if e.key != "" {
		b.WriteString(e.key + ": ")
	}
	b.WriteString(e.detail)
	if len(e.allow) > 0 {
		b.WriteString("; allowed: " + strings.Join(e.allow, ", "))
	}
	if e.near != "" {
		b.WriteString("; nearest: " + e.near)
	}
	return b.String()
}

// faultText is the JSON form; pointers tell "not given" from zero.
type faultText struct {
	Kind   *string  `json:"kind,omitempty"`
	For    *string  `json:"for,omitempty"`
	Share  *float64 `json:"share,omitempty"`
	Path   *string  `json:"path,omitempty"`
	MS     *int     `json:"ms,omitempty"`
	Jitter *int     `json:"jitter,omitempty"`
	Mode   *string  `json:"mode,omitempty"`
}

var faultKeys = []string{"kind", "for", "share", "path", "ms", "jitter", "mode"}

// ParseFault reads the JSON of POST /lab/fault, for example {"kind":"slow","ms":800,"jitter":200,"for":"30s","share":0.5}.
// Unknown keys are errors.
func ParseFault(text []byte) (Fault, error) {
	var in faultText
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return Fault{}, explainJSON(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Fault{}, &faultError{detail: "more than one JSON object; send exactly one"}
	}
	if in.Kind == nil {
		return Fault{}, &faultError{key: "kind", detail: "it is missing", allow: kindNames()}
	}
	f := Fault{Kind: FaultKind(*in.Kind), Share: 1, Path: deref(in.Path), Delay: deref(in.MS), Jitter: deref(in.Jitter), Mode: deref(in.Mode)}
	if !slices.Contains(FaultKinds, f.Kind) {
		return Fault{}, &faultError{
			key: "kind", detail: fmt.Sprintf("%q is unknown", shorten40(*in.Kind)), allow: kindNames(),
			near: nearest(*in.Kind, kindNames()),
		}
	}
	if in.Share != nil {
		f.Share = *in.Share
	}
	if in.For != nil {
		d, err := time.ParseDuration(*in.For)
		if err != nil {
			return Fault{}, &faultError{key: "for", detail: fmt.Sprintf("%q is no duration; want for example 10s, 2m, 1h", shorten40(*in.For))}
		}
		f.For = d
	}
	if f.Kind == FaultSlow && in.MS == nil && in.Jitter == nil {
		f.Delay = defaultDelay
	}
	if f.Kind == FaultTLS && in.Mode == nil {
		f.Mode = ModeWrongName
	}
	return f, f.check()
}

func (f Fault) check() error {
	switch {
	case f.For < 0 || f.For > maxFor:
		return &faultError{key: "for", detail: fmt.Sprintf("%v is out of range; want 0s to 24h", f.For)}
	case f.Share < 0 || f.Share > 1:
		return &faultError{key: "share", detail: fmt.Sprintf("%v is out of range; want 0 to 1", f.Share)}
	case f.Delay < 0 || f.Delay > maxDelay:
		return &faultError{key: "ms", detail: fmt.Sprintf("%d is out of range; want 0 to %d milliseconds", f.Delay, maxDelay)}
	case f.Jitter < 0 || f.Jitter > maxDelay:
		return &faultError{key: "jitter", detail: fmt.Sprintf("%d is out of range; want 0 to %d milliseconds", f.Jitter, maxDelay)}
	case f.Path != "" && !strings.HasPrefix(f.Path, "/"):
		return &faultError{key: "path", detail: fmt.Sprintf("%q does not start with /; want for example /http/health or /http/*", shorten40(f.Path))}
	case strings.HasPrefix(f.Path, labPrefix):
		return &faultError{key: "path", detail: "faults never affect " + labPrefix + "*; want a path of the stand-in"}
	case f.Kind == FaultTLS && !slices.Contains(tlsModes, f.Mode):
		return &faultError{
			key: "mode", detail: fmt.Sprintf("%q is unknown", shorten40(f.Mode)), allow: tlsModes,
			near: nearest(f.Mode, tlsModes),
		}
	case f.Kind != FaultTLS && f.Mode != "":
		return &faultError{key: "mode", detail: fmt.Sprintf("it belongs to kind tls, not to %s", f.Kind)}
	case f.Kind != FaultSlow && f.Kind != FaultNone && f.Delay+f.Jitter > 0:
		return &faultError{key: "ms", detail: fmt.Sprintf("ms and jitter belong to kind slow, not to %s", f.Kind)}
	}
	return nil
}

// matches reports whether the fault is meant for a path.
func (f Fault) matches(path string) bool {
	if f.Path == "" {
		return true
	}
	if head, wild := strings.CutSuffix(f.Path, "*"); wild {
		return len(path) >= len(head) && strings.EqualFold(path[:len(head)], head) ||
			strings.EqualFold(path, strings.TrimSuffix(head, "/"))
	}
	return strings.EqualFold(path, f.Path)
}

// explainJSON turns a decoder's error into ours; the decoder has no type for an unknown key, only this text.
func explainJSON(err error) error {
	if quoted, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		key := strings.Trim(quoted, `"`)
		return &faultError{key: shorten40(key), detail: "unknown key", allow: faultKeys, near: nearest(key, faultKeys)}
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return &faultError{key: wrong.Field, detail: fmt.Sprintf("a JSON %s is not allowed here; kind, for, path and mode are "+
			"texts (\"for\":\"10s\"), share is a number, ms and jitter are whole numbers", wrong.Value)}
	}
	return &faultError{detail: "this is no JSON object (" + err.Error() + `); want for example {"kind":"error","for":"10s"}`, allow: kindNames()}
}

func kindNames() []string {
	names := make([]string, len(FaultKinds))
	for i, k := range FaultKinds {
		names[i] = string(k)
	}
	return names
}

func deref[T any](p *T) T {
	var v T
	if p != nil {
		v = *p
	}
	return v
}

// shorten40 keeps hostile input out of answers and logs.
func shorten40(text string) string {
	const shown = 40
	if len(text) <= shown {
		return text
	}
	return strings.ToValidUTF8(text[:shown], "") + "..."
}

// nearest returns the candidate with the smallest edit distance, or "" when none is close enough to be meant.
func nearest(text string, candidates []string) string {
	text = strings.ToLower(shorten40(text))
	best, distance := "", max(2, len(text)/2)+1
	for _, c := range candidates {
		if d := editDistance(text, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
