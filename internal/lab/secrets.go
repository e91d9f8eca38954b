package lab

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// tokenLife is how long an access token is good for, as the original's token endpoint tells it: 4199 s.
const tokenLife = 4199 * time.Second

// The three cookies of a session; a token is good only together with all of them.
const (
	cookieSession = "JSESSIONID"
	cookieTenant  = "JTENANTSESSIONID_lab"
	cookieNode    = "__VCAP_ID__"
)

// secrets proves what this tenant, and no other, has given out. It keeps no list: sessions, tokens and access tokens
// carry a code made with a key that lives as long as the tenant, so they end with it.
type secrets struct {
	key    [32]byte
	node   string
	secure bool // cookies are for TLS alone
}

func newSecrets(secure bool) *secrets {
	s := &secrets{node: newUUID(), secure: secure}
	fill(s.key[:])
	return s
}

func (s *secrets) code(purpose, text string) []byte {
	m := hmac.New(sha256.New, s.key[:])
	m.Write([]byte(purpose + "\x00" + text))
	return m.Sum(nil)
}

func (s *secrets) short(purpose, text string) string {
	return strings.ToUpper(hex.EncodeToString(s.code(purpose, text)[:16]))
}

// session returns the id of the session a request belongs to, or "".
func (s *secrets) session(r *http.Request) string {
	id := cookieValue(r, cookieSession)
	if id == "" || !equal(cookieValue(r, cookieTenant), s.short("session", id)) || !equal(cookieValue(r, cookieNode), s.node) {
		return ""
	}
	return id
}

// issue adds a token (or the word required) and the session's three cookies to an answer.
func (s *secrets) issue(a answer, r *http.Request, fetched bool) answer {
	id := s.session(r)
	if id == "" {
		var raw [16]byte
		fill(raw[:])
		id = strings.ToUpper(hex.EncodeToString(raw[:]))
	}
	token := "required"
	if fetched {
		token = s.short("csrf", id)
	}
	tail := "; Path=/; HttpOnly"
	if s.secure {
		tail += "; Secure"
	}
	return a.with(headerCSRF, token).
		with("Set-Cookie", cookieSession+"="+id+tail).
		with("Set-Cookie", cookieTenant+"="+s.short("session", id)+tail).
		with("Set-Cookie", cookieNode+"="+s.node+tail)
}

// proven reports whether a request carries the token of its own session.
func (s *secrets) proven(r *http.Request) bool {
	id := s.session(r)
	return id != "" && equal(r.Header.Get(headerCSRF), s.short("csrf", id))
}

// fetches reports whether a request asks for a token.
func fetches(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.EqualFold(r.Header.Get(headerCSRF), "fetch")
}

// modifies reports whether the method needs a token.
func modifies(method string) bool {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

func cookieValue(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

func equal(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// claims is what an access token says.
type claims struct {
	Client string   `json:"client_id"`
	Region string   `json:"zdn"`
	Scope  []string `json:"scope"`
	Issued int64    `json:"iat"`
	Until  int64    `json:"exp"`
	ID     string   `json:"jti"`
}

const jwtHead = `{"alg":"HS256","typ":"JWT"}`

// sign makes a JSON Web Token (RFC 7519) of the claims.
func (s *secrets) sign(c claims) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(jwtHead)) + "." + enc.EncodeToString(body)
	return text + "." + enc.EncodeToString(s.code("jwt", text)), nil
}

// open reads a token of this tenant that has not run out.
func (s *secrets) open(token string, now time.Time) (claims, bool) {
	var c claims
	cut := strings.LastIndexByte(token, '.')
	if cut < 0 {
		return c, false
	}
	enc := base64.RawURLEncoding
	code, err := enc.DecodeString(token[cut+1:])
	if err != nil || !hmac.Equal(code, s.code("jwt", token[:cut])) {
		return c, false
	}
	_, payload, _ := strings.Cut(token[:cut], ".")
	body, err := enc.DecodeString(payload)
	if err != nil || json.Unmarshal(body, &c) != nil {
		return c, false
	}
	return c, now.Unix() < c.Until
}
