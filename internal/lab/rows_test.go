package lab

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const tomcatPage = `<!doctype html><html lang="en"><head><title>HTTP Status %</title><style type="text/css">body {font-family:Tahoma,Arial,sans-serif;} h1, h2, h3, b {color:white;background-color:#525D76;} h1 {font-size:22px;} h2 {font-size:16px;} h3 {font-size:14px;} p {font-size:12px;} a {color:black;} .line {height:1px;background-color:#525D76;border:none;}</style></head><body><h1>HTTP Status %</h1></body></html>`

func page(title string) string { return strings.ReplaceAll(tomcatPage, "%", title) }

func authLine(c Credential) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Password)) + "\r\n"
}

// TestRows compares what is on the wire, row by row of the table in docs/lab.md; what changes from call to call is
// masked: Date, ids, cookies.
func TestRows(t *testing.T) {
	tenant := startTenant(t, TenantOptions{
		Auth: []Credential{sender}, RoleLess: []Credential{visitor}, APIAuth: []Credential{apiKey},
		Hosts: []string{"integration.dr.example"}, CSRF: true, WWWAuthenticate: `Basic realm="lab"`,
	})
	const ours = "Host: integration.dr.example\r\nConnection: close\r\n"
	cases := []struct {
		name, fault, ask, want string
	}{
		{
			"1 host not mapped", "none", "GET /http/health HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n" + authLine(sender),
			"HTTP/1.1 404 Not Found|Content-Length: 68|Content-Type: text/plain|X-Cf-RouterError: unknown_route|Date: D|Connection: close||404 Not Found: Requested route ('other.example') does not exist.",
		},
		{
			"1 unmap", "unmap", "GET /http/health HTTP/1.1\r\n" + ours,
			"HTTP/1.1 404 Not Found|Content-Length: 77|Content-Type: text/plain|X-Cf-RouterError: unknown_route|Date: D|Connection: close||404 Not Found: Requested route ('integration.dr.example') does not exist.",
		},
		{
			"2 no credentials", "error", "GET /http/health HTTP/1.1\r\n" + ours,
			"HTTP/1.1 401 Unauthorized|Content-Length: 110|Content-Type: application/json|WWW-Authenticate: Basic realm=\"lab\"|Date: D|Connection: close||" +
				`{"error":"unauthorized","error_description":"An Authentication object was not found in the SecurityContext"}`,
		},
		{
			"2 undeployed, no credentials", "undeploy", "GET /http/nothing HTTP/1.1\r\n" + ours,
			"HTTP/1.1 401 Unauthorized|Content-Length: 110|Content-Type: application/json|WWW-Authenticate: Basic realm=\"lab\"|Date: D|Connection: close||" +
				`{"error":"unauthorized","error_description":"An Authentication object was not found in the SecurityContext"}`,
		},
		{
			"3 bad credentials", "none", "GET /http/health HTTP/1.1\r\n" + ours + authLine(Credential{clientID, "wrong"}),
			"HTTP/1.1 401 Unauthorized|Content-Length: 148|Content-Type: application/xml|WWW-Authenticate: Basic realm=\"lab\"|Date: D|Connection: close||" +
				"<UnauthorizedUserException><error>unauthorized_user</error><error_description>Bad credentials</error_description></UnauthorizedUserException>",
		},
		{
			"4 no role", "none", "GET /http/health HTTP/1.1\r\n" + ours + authLine(visitor),
			"HTTP/1.1 403 Forbidden|Content-Length: 483|Content-Type: text/html;charset=utf-8|Date: D|Connection: close||" + page("403 - Forbidden"),
		},
		{
			"4 key of another plan", "none", "GET /http/health HTTP/1.1\r\n" + ours + authLine(apiKey),
			"HTTP/1.1 403 Forbidden|Content-Length: 483|Content-Type: text/html;charset=utf-8|Date: D|Connection: close||" + page("403 - Forbidden"),
		},
		{
			"5 nothing there", "none", "GET /http/nothing HTTP/1.1\r\n" + ours + authLine(sender),
			"HTTP/1.1 404 Not Found|Content-Length: 483|Content-Type: text/html;charset=utf-8|Date: D|Connection: close||" + page("404 - Not Found"),
		},
		{
			"5 undeploy", "undeploy", "GET /http/health HTTP/1.1\r\n" + ours + authLine(sender),
			"HTTP/1.1 404 Not Found|Content-Length: 483|Content-Type: text/html;charset=utf-8|Date: D|Connection: close||" + page("404 - Not Found"),
		},
		{
			"6 HEAD", "none", "HEAD /http/health HTTP/1.1\r\n" + ours + authLine(sender),
			"HTTP/1.1 405 Method Not Allowed|Allow: GET, POST, PUT, PATCH, DELETE|Content-Length: 501|Content-Type: text/html;charset=utf-8|Date: D|Connection: close||",
		},
		{
			"7 POST without token", "none", "POST /http/health HTTP/1.1\r\nContent-Length: 0\r\n" + ours + authLine(sender),
			"HTTP/1.1 403 Forbidden|Content-Length: 483|Content-Type: text/html;charset=utf-8|Set-Cookie: C|Set-Cookie: C|Set-Cookie: C|X-CSRF-Token: required|Date: D|Connection: close||" + page("403 - Forbidden"),
		},
		{
			"8 flow fails", "error", "GET /http/health HTTP/1.1\r\n" + ours + authLine(sender),
			"HTTP/1.1 500 Internal Server Error|Content-Length: 101|Content-Type: text/plain|Date: D|Connection: close||An internal server error occured: The MPL ID for the failed message is : MPL", //nolint:misspell // theirs
		},
		{
			"9 overload comes first", "overload", "GET /http/health HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n",
			"HTTP/1.1 503 Service Unavailable|Content-Length: 503|Content-Type: text/html;charset=utf-8|Date: D|Connection: close||" + page("503 - Service Unavailable"),
		},
		{
			"10 success", "none", "GET /http/health HTTP/1.1\r\n" + ours + authLine(sender),
			"HTTP/1.1 200 OK|Content-Length: 15|Content-Type: text/plain|x-correlationid: UUID|Date: D|Connection: close||hello from EU20",
		},
		{
			"10 address without case", "none", "GET /http/HEALTH HTTP/1.1\r\n" + ours + authLine(sender),
			"HTTP/1.1 200 OK|Content-Length: 15|Content-Type: text/plain|x-correlationid: UUID|Date: D|Connection: close||hello from EU20",
		},
		{
			"10 empty", "none", "POST /http/echo/x HTTP/1.1\r\nContent-Length: 0\r\n" + ours + authLine(sender) + "TOKEN",
			"HTTP/1.1 204 No Content|SAP_MessageProcessingLogID: MPL|x-correlationid: UUID|Date: D|Connection: close||",
		},
		{
			"10 SOAP", "none", "POST /cxf/ping HTTP/1.1\r\nContent-Length: 0\r\n" + ours + authLine(sender),
			"HTTP/1.1 200 OK|Content-Length: 210|Content-Type: text/xml;charset=utf-8|x-correlationid: UUID|Date: D|Connection: close||" +
				`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><pingResponse xmlns="urn:jurymast:lab"><text>hello from EU20</text></pingResponse></soap:Body></soap:Envelope>`,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			order(t, tenant, `{"kind":"`+c.fault+`"}`)
			ask := strings.Replace(c.ask, "TOKEN", tokenLines(t, tenant), 1)
			got := mask(raw(t, tenant.Addr(), ask+"\r\n"))
			if want := lengthMasked(c.want); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// tokenLines fetches a token and returns the header lines that prove it.
func tokenLines(t *testing.T, tenant *Tenant) string {
	t.Helper()
	r := request(t, http.MethodGet, "http://integration.dr.example/http/health", "", basic(sender), head(headerCSRF, "Fetch"))
	w := call(tenant, r)
	if tenant.faults.kind() != FaultNone {
		return ""
	}
	resp := w.Result()
	defer resp.Body.Close()
	lines := headerCSRF + ": " + header(w, headerCSRF) + "\r\n"
	for _, c := range resp.Cookies() {
		lines += "Cookie: " + c.Name + "=" + c.Value + "\r\n"
	}
	return lines
}

var masks = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`Date: [^|]+`), "Date: D"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$|x-correlationid: [0-9a-f-]{36}`), "x-correlationid: UUID"},
	{regexp.MustCompile(`Set-Cookie: [^|]+`), "Set-Cookie: C"},
	{regexp.MustCompile(`\bA[A-Za-z0-9_-]{27}\b`), "MPL"},
}

func mask(answer string) string {
	headers, body, _ := strings.Cut(answer, "\r\n\r\n")
	text := strings.ReplaceAll(headers, "\r\n", "|") + "||" + body
	for _, m := range masks {
		text = m.what.ReplaceAllString(text, m.with)
	}
	return lengthMasked(text)
}

// lengthMasked: net/http already proves that the length given is that of the body.
func lengthMasked(text string) string {
	return regexp.MustCompile(`Content-Length: \d+`).ReplaceAllString(text, "Content-Length: N")
}

func TestOpenTenant(t *testing.T) {
	tenant := newTenant(t, TenantOptions{Region: "US21"})
	for path, want := range map[string]string{"/http/health": "hello from US21", "/http/ping": "hello from US21", "/http/ha/health": "hello from US21"} {
		if w := call(tenant, request(t, http.MethodGet, path, "")); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	}
	w := call(tenant, request(t, http.MethodPost, "/http/echo", "<order/>", head("Content-Type", "application/xml"), head("CamelHttpResponseCode", "202")))
	if w.Code != http.StatusAccepted || w.Body.String() != "<order/>" || w.Header().Get("Content-Type") != "application/xml" {
		t.Errorf("echo: %d %q %v", w.Code, w.Body, w.Header())
	}
}

func TestReturnException(t *testing.T) {
	tenant := newTenant(t, TenantOptions{ReturnException: true})
	if err := tenant.SetFault(Fault{Kind: FaultError, Share: 1}); err != nil {
		t.Fatal(err)
	}
	if w := call(tenant, request(t, http.MethodGet, "/http/ping", "")); w.Code != http.StatusInternalServerError || w.Body.String() != textException {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestCSRFDance(t *testing.T) {
	o := TenantOptions{Auth: []Credential{sender}, CSRF: true}
	here, there := newTenant(t, o), newTenant(t, o)
	post := func(tenant *Tenant, edit ...func(*http.Request)) int {
		t.Helper()
		return call(tenant, request(t, http.MethodPost, "/http/health", "x", append(edit, basic(sender))...)).Code
	}
	fetch := func(method string) (string, []*http.Cookie) {
		t.Helper()
		w := call(here, request(t, method, "/http/health", "", basic(sender), head(headerCSRF, "Fetch")))
		resp := w.Result()
		defer resp.Body.Close()
		if w.Code != http.StatusOK || len(resp.Cookies()) != 3 || w.Body.Len() != 0 {
			t.Fatalf("fetch by %s: %d, cookies %v, body %q", method, w.Code, resp.Cookies(), w.Body)
		}
		return header(w, headerCSRF), resp.Cookies()
	}
	token, cookies := fetch(http.MethodGet)
	headToken, _ := fetch(http.MethodHead)
	withCookies := func(list []*http.Cookie) func(*http.Request) {
		return func(r *http.Request) {
			for _, c := range list {
				r.AddCookie(c)
			}
		}
	}
	if n := here.Stats().Executed; n != 0 {
		t.Errorf("fetching executed %d messages", n)
	}
	checks := []struct {
		name   string
		tenant *Tenant
		edit   []func(*http.Request)
		want   int
	}{
		{"nothing", here, nil, 403},
		{"token alone", here, []func(*http.Request){head(headerCSRF, token)}, 403},
		{"cookies alone", here, []func(*http.Request){withCookies(cookies)}, 403},
		{"one cookie missing", here, []func(*http.Request){head(headerCSRF, token), withCookies(cookies[:2])}, 403},
		{"token of another session", here, []func(*http.Request){head(headerCSRF, headToken), withCookies(cookies)}, 403},
		{"token and cookies", here, []func(*http.Request){head(headerCSRF, token), withCookies(cookies)}, 200},
		{"after a failover", there, []func(*http.Request){head(headerCSRF, token), withCookies(cookies)}, 403},
	}
	for _, c := range checks {
		if got := post(c.tenant, c.edit...); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if w := call(here, request(t, http.MethodPost, "/http/ping", "", basic(sender))); w.Code != http.StatusOK {
		t.Errorf("ping is not protected, got %d", w.Code)
	}
	if n := here.Stats().Executed; n != 2 {
		t.Errorf("executed %d, want 2", n)
	}
}

func TestToken(t *testing.T) {
	o := TenantOptions{Auth: []Credential{sender}, RoleLess: []Credential{visitor}, APIAuth: []Credential{apiKey}}
	here, there := newTenant(t, o), newTenant(t, o)
	fetch := func(form string, edit ...func(*http.Request)) (int, string) {
		t.Helper()
		edit = append(edit, head("Content-Type", "application/x-www-form-urlencoded"))
		w := call(here, request(t, http.MethodPost, "/oauth/token", form, edit...))
		token, _ := decode[map[string]any](t, w.Body.Bytes())["access_token"].(string)
		return w.Code, token
	}
	get := func(tenant *Tenant, path, token string) int {
		return call(tenant, request(t, http.MethodGet, path, "", head("Authorization", "Bearer "+token))).Code
	}
	code, token := fetch("grant_type=client_credentials", basic(sender))
	if code != http.StatusOK {
		t.Fatalf("token: %d", code)
	}
	_, apiToken := fetch("grant_type=client_credentials&client_id=sb-api%21b15%7Cit%21b26&client_secret=a")
	_, poor := fetch("grant_type=client_credentials", basic(visitor))
	for _, c := range []struct {
		name      string
		got, want int
	}{
		{"own tenant", get(here, "/http/health", token), 200},
		{"other tenant", get(there, "/http/health", token), 401},
		{"changed", get(here, "/http/health", token[:len(token)-2]+"xx"), 401},
		{"no role", get(here, "/http/health", poor), 403},
		{"runtime key on the API", get(here, "/api/v1/IntegrationRuntimeArtifacts", token), 403},
		{"API key on the API", get(here, "/api/v1/IntegrationRuntimeArtifacts", apiToken), 200},
		{"API key on the runtime", get(here, "/http/health", apiToken), 403},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.name, c.got, c.want)
		}
	}
	if code, _ := fetch("grant_type=client_credentials", basic(Credential{"x", "y"})); code != http.StatusUnauthorized {
		t.Errorf("unknown client: %d", code)
	}
	if code, _ := fetch("grant_type=password", basic(sender)); code != http.StatusBadRequest {
		t.Errorf("other grant: %d", code)
	}
}
