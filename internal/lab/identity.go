package lab

import (
	"net/http"
	"slices"
	"strings"
)

// The roles a log-in may have.
const (
	roleSend = "ESBMessaging.send" // plan integration-flow: may call flows
	roleAPI  = "operations-api"    // plan api: may call /api/v1; our own word
)

// login is how far a request came with its credentials.
type login int

const (
	loginNone     login = iota // none given
	loginBadBasic              // unknown user or wrong password
	loginBadToken              // no token of this tenant, or run out
	loginKnown                 // see identity
)

// identity is who a request comes from.
type identity struct {
	login login
	user  string
	roles []string
	basic bool
}

func (id identity) may(role string) bool { return slices.Contains(id.roles, role) }

// identify looks at the Authorization header alone.
func (t *Tenant) identify(r *http.Request) identity {
	if user, password, ok := r.BasicAuth(); ok {
		c := Credential{User: user, Password: password}
		roles, known := t.roles(c)
		if !known {
			return identity{login: loginBadBasic, user: user, basic: true}
		}
		return identity{login: loginKnown, user: user, roles: roles, basic: true}
	}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "basic"):
		return identity{login: loginBadBasic, basic: true}
	case strings.EqualFold(scheme, "bearer"):
		c, ok := t.secrets.open(strings.TrimSpace(rest), t.opts.Now())
		if !ok {
			return identity{login: loginBadToken}
		}
		return identity{login: loginKnown, user: c.Client, roles: c.Scope}
	}
	return identity{}
}

// roles tells what a credential may do; known is false for one that no list holds.
func (t *Tenant) roles(c Credential) (roles []string, known bool) {
	if holds(t.opts.Auth, c) {
		roles, known = append(roles, roleSend), true
	}
	if holds(t.opts.APIAuth, c) {
		roles, known = append(roles, roleAPI), true
	}
	return roles, known || holds(t.opts.RoleLess, c)
}

// runtimeOpen reports whether flows may be called without credentials.
func (t *Tenant) runtimeOpen() bool { return len(t.opts.Auth) == 0 && len(t.opts.RoleLess) == 0 }

// refusal is the answer of the authentication filter; ok is true when the request may pass.
func (t *Tenant) refusal(id identity, role string) (a answer, ok bool) {
	switch id.login {
	case loginNone:
		a = textAnswer(http.StatusUnauthorized, typeJSON, textNoAuth)
	case loginBadToken:
		a = textAnswer(http.StatusUnauthorized, typeJSON, textBadToken)
	case loginBadBasic:
		a = textAnswer(http.StatusUnauthorized, typeXML, textBadBasic)
	case loginKnown:
		if id.may(role) {
			return answer{}, true
		}
		return tomcat(http.StatusForbidden), false
	}
	if t.opts.WWWAuthenticate != "" {
		a = a.with("WWW-Authenticate", t.opts.WWWAuthenticate)
	}
	return a, false
}

// token is POST /oauth/token: client credentials (RFC 6749, 4.4) for an access token of this tenant.
func (t *Tenant) token(r *http.Request) answer {
	if r.Method != http.MethodPost {
		return oauthError(http.StatusMethodNotAllowed, "method_not_allowed", "Request method '"+r.Method+"' not supported").with("Allow", "POST")
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxFaultText)
	if err := r.ParseForm(); err != nil {
		return oauthError(http.StatusBadRequest, "invalid_request", "Cannot read the form")
	}
	if grant := r.Form.Get("grant_type"); grant != "client_credentials" {
		if grant == "" {
			return oauthError(http.StatusBadRequest, "invalid_request", "Missing grant type")
		}
		return oauthError(http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant type; allowed: client_credentials")
	}
	c := Credential{User: r.Form.Get("client_id"), Password: r.Form.Get("client_secret")}
	if user, password, ok := r.BasicAuth(); ok {
		c = Credential{User: user, Password: password}
	}
	roles, known := t.roles(c)
	if !known {
		return oauthError(http.StatusUnauthorized, "invalid_client", "Bad credentials").
			with("WWW-Authenticate", `Basic realm="UAA/client", error="unauthorized", error_description="Bad credentials"`)
	}
	now := t.opts.Now()
	said := claims{
		Client: c.User, Region: t.opts.Region, Scope: roles, Issued: now.Unix(), Until: now.Add(tokenLife).Unix(), ID: newUUID(),
	}
	token, err := t.secrets.sign(said)
	if err != nil {
		return oauthError(http.StatusInternalServerError, "server_error", err.Error())
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"access_token": token, "token_type": "bearer", "expires_in": int(tokenLife.Seconds()),
		"scope": strings.Join(roles, " "), "jti": said.ID,
	}).with("Cache-Control", "no-store")
}

func oauthError(status int, word, description string) answer {
	return jsonAnswer(status, map[string]string{"error": word, "error_description": description}).with("Cache-Control", "no-store")
}
