package lab

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The texts of the original, byte for byte. Spelling errors are theirs.
const (
	textNoAuth     = `{"error":"unauthorized","error_description":"An Authentication object was not found in the SecurityContext"}`
	textBadToken   = `{"error":"invalid_token","error_description":"Invalid access token"}` //nolint:gosec // a text about credentials
	textBadBasic   = `<UnauthorizedUserException><error>unauthorized_user</error><error_description>Bad credentials</error_description></UnauthorizedUserException>`
	textFailed     = "An internal server error occured: The MPL ID for the failed message is : " //nolint:misspell // theirs
	textNoRoute    = "404 Not Found: Requested route ('%s') does not exist."
	headerRoute    = "X-Cf-RouterError"
	headerCSRF     = "X-CSRF-Token"
	headerCorrelID = "x-correlationid"
)

// textException is what a flow answers with return-exception on: the script step calls a method that does not exist.
const textException = "javax.script.ScriptException: groovy.lang.MissingMethodException: No signature of method: " +
	"breakOnPurpose() is applicable for argument types: () values: []"

// The media types used.
const (
	typeText    = "text/plain"
	typeJSON    = "application/json"
	typeXML     = "application/xml"
	typeSOAP    = "text/xml;charset=utf-8"
	typeHTML    = "text/html;charset=utf-8"
	typeProblem = "application/problem+json"
)

// answer is one response as a value: handlers return it, one place writes it.
type answer struct {
	status  int
	kind    string      // Content-Type, empty for none
	header  http.Header // further headers; keys are sent as they stand here
	body    []byte
	dropped bool // the client is gone or we stop: the connection is closed without an answer
}

// with returns the answer with one more header line.
func (a answer) with(key, value string) answer {
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header[key] = append(a.header[key], value)
	return a
}

func (a answer) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	maps.Copy(h, a.header)
	if a.kind != "" {
		h["Content-Type"] = []string{a.kind}
	}
	if a.status != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead && a.status != http.StatusNoContent {
		_, _ = w.Write(a.body) // the client may be gone; nothing is left to do then
	}
}

func textAnswer(status int, kind, body string) answer {
	return answer{status: status, kind: kind, body: []byte(body)}
}

// jsonAnswer marshals v, which must be of our own plain types.
func jsonAnswer(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		return textAnswer(http.StatusInternalServerError, typeText, "cannot encode the answer: "+err.Error())
	}
	return answer{status: status, kind: typeJSON, body: body}
}

// tomcat is the error page of the servlet container.
func tomcat(status int) answer {
	title := fmt.Sprintf("HTTP Status %d - %s", status, http.StatusText(status))
	return textAnswer(status, typeHTML, `<!doctype html><html lang="en"><head><title>`+title+`</title><style type="text/css">`+
		`body {font-family:Tahoma,Arial,sans-serif;} h1, h2, h3, b {color:white;background-color:#525D76;} `+
		`h1 {font-size:22px;} h2 {font-size:16px;} h3 {font-size:14px;} p {font-size:12px;} a {color:black;} `+
		`.line {height:1px;background-color:#525D76;border:none;}</style></head><body><h1>`+title+`</h1></body></html>`)
}

// noRoute is the answer of the router in front of the tenant.
func noRoute(host string) answer {
	return textAnswer(http.StatusNotFound, typeText, fmt.Sprintf(textNoRoute, host)).with(headerRoute, "unknown_route")
}

// problem is an answer of our own (RFC 9457), for /lab/* alone.
func problem(status int, detail string, more map[string]any) answer {
	body := map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail}
	maps.Copy(body, more)
	a := jsonAnswer(status, body)
	a.kind = typeProblem
	return a
}

// newMessageID makes an id of 28 base64url characters: a zero byte, the time in seconds and 16 random bytes, so that
// it starts like AGpyvUXK.
func newMessageID(now time.Time) string {
	var id [21]byte
	binary.BigEndian.PutUint32(id[1:5], uint32(now.Unix())) //nolint:gosec // the format has four bytes, enough until 2106
	fill(id[5:])
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// newUUID makes a random UUID (RFC 9562, version 4).
func newUUID() string {
	var u [16]byte
	fill(u[:])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	h := hex.EncodeToString(u[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// fill fills b with random bytes; crypto/rand.Read never fails.
func fill(b []byte) { _, _ = rand.Read(b) }
