package lab

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble runs a test with a tenant whose time is free.
func inBubble(t *testing.T, o TenantOptions, test func(*testing.T, *Tenant)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant(t, o)
		defer tenant.Close() //nolint:errcheck // its end is not the subject
		test(t, tenant)
	})
}

func api(t *testing.T, tenant *Tenant, method, path string, edit ...func(*http.Request)) (int, string) {
	t.Helper()
	w := call(tenant, request(t, method, "/api/v1/"+path, "", edit...))
	return w.Code, w.Body.String()
}

func status(t *testing.T, body string) string {
	t.Helper()
	return decode[struct{ D struct{ Status string } }](t, []byte(body)).D.Status
}

const deployHealth = "DeployIntegrationDesigntimeArtifact?Id='HealthCheck'&Version='active'"

func TestUndeployAndDeploy(t *testing.T) {
	inBubble(t, TenantOptions{DeployTime: 4 * time.Second, EndpointLag: 30 * time.Second}, func(t *testing.T, tenant *Tenant) {
		const artifact = "IntegrationRuntimeArtifacts('HealthCheck')"
		get := func() int { return call(tenant, request(t, http.MethodGet, "/http/health", "")).Code }
		steps := func(want int, state string) {
			t.Helper()
			code, body := api(t, tenant, http.MethodGet, artifact)
			if state == "" && code != http.StatusNotFound || state != "" && status(t, body) != state || get() != want {
				t.Errorf("%d %s, flow %d; want %s, %d", code, body, get(), state, want)
			}
		}
		steps(200, statusStarted)
		if code, _ := api(t, tenant, http.MethodDelete, artifact); code != http.StatusAccepted {
			t.Fatalf("undeploy: %d", code)
		}
		steps(404, statusStopping)
		time.Sleep(time.Second)
		steps(404, "")
		if code, _ := api(t, tenant, http.MethodDelete, artifact); code != http.StatusNotFound {
			t.Errorf("undeploy again: %d", code)
		}
		if _, body := api(t, tenant, http.MethodGet, "IntegrationPackages('JurymastLab')/IntegrationDesigntimeArtifacts"); !strings.Contains(body, `"Id":"HealthCheck"`) {
			t.Error("design time is gone too")
		}

		code, task := api(t, tenant, http.MethodPost, deployHealth)
		if code != http.StatusAccepted || len(task) != 36 {
			t.Fatalf("deploy: %d %q", code, task)
		}
		taskIs := func(want string) {
			t.Helper()
			if _, body := api(t, tenant, http.MethodGet, "BuildAndDeployStatus(TaskId='"+task+"')"); status(t, body) != want {
				t.Errorf("task %s, want %s", body, want)
			}
		}
		taskIs(taskDeploying)
		steps(404, statusStarting)
		time.Sleep(4 * time.Second)
		taskIs(taskSuccess)
		steps(200, statusStarted)

		listed := func() bool {
			_, body := api(t, tenant, http.MethodGet, "ServiceEndpoints")
			return strings.Contains(body, "/http/health")
		}
		time.Sleep(29 * time.Second)
		if listed() {
			t.Error("ServiceEndpoints does not lag")
		}
		time.Sleep(time.Second)
		if !listed() {
			t.Error("ServiceEndpoints lags for ever")
		}
		// A new version takes over without a gap.
		api(t, tenant, http.MethodPost, deployHealth)
		steps(200, statusStarting)
	})
}

func TestDeployTroubles(t *testing.T) {
	inBubble(t, TenantOptions{DeployTime: time.Second, Quota: 1}, func(t *testing.T, tenant *Tenant) {
		deploy := func(id string) string {
			t.Helper()
			code, task := api(t, tenant, http.MethodPost, "DeployIntegrationDesigntimeArtifact?Id='"+id+"'&Version='active'")
			if code != http.StatusAccepted {
				t.Fatalf("%s: %d %s", id, code, task)
			}
			time.Sleep(time.Second)
			_, body := api(t, tenant, http.MethodGet, "BuildAndDeployStatus(TaskId='"+task+"')")
			return status(t, body)
		}
		for id, want := range map[string]string{"HealthCheckCopy": "/http/health is in use", "Faulty": "cannot be resolved"} {
			if st := deploy(id); st != taskFail {
				t.Errorf("%s: task %s", id, st)
			}
			if _, body := api(t, tenant, http.MethodGet, "IntegrationRuntimeArtifacts('"+id+"')"); status(t, body) != statusError {
				t.Errorf("%s: %s", id, body)
			}
			if _, body := api(t, tenant, http.MethodGet, "IntegrationRuntimeArtifacts('"+id+"')/ErrorInformation/$value"); !strings.Contains(body, want) {
				t.Errorf("%s: %s", id, body)
			}
		}
		if st := deploy("Broken"); st != taskSuccess {
			t.Errorf("Broken: %s", st)
		}
		if w := call(tenant, request(t, http.MethodGet, "/http/broken", "")); w.Code != http.StatusInternalServerError || !strings.HasPrefix(w.Body.String(), textFailed) {
			t.Errorf("Broken: %d %s", w.Code, w.Body)
		}
		if st := deploy("Ping"); st != taskLicense {
			t.Errorf("with the quota used up: %s", st)
		}
		for path, want := range map[string]int{
			"DeployIntegrationDesigntimeArtifact?Id='No'&Version='active'":  500,
			"DeployIntegrationDesigntimeArtifact?Id='Ping'&Version='9.9.9'": 500,
			"DeployIntegrationDesigntimeArtifact":                           400,
			"Nonsense":                                                      404,
		} {
			code, body := api(t, tenant, http.MethodPost, path)
			text := decode[struct {
				Error struct{ Message struct{ Value string } }
			}](t, []byte(body)).Error.Message.Value
			if code != want || text == "" {
				t.Errorf("%s: %d %s", path, code, body)
			}
		}
	})
}

func TestAPIAuthAndCSRF(t *testing.T) {
	tenant := newTenant(t, TenantOptions{APIAuth: []Credential{apiKey}, Auth: []Credential{sender}, DeployTime: -1})
	if code, _ := api(t, tenant, http.MethodGet, "ServiceEndpoints"); code != http.StatusUnauthorized {
		t.Errorf("anonymous: %d", code)
	}
	if code, _ := api(t, tenant, http.MethodGet, "ServiceEndpoints", basic(sender)); code != http.StatusForbidden {
		t.Errorf("runtime key: %d", code)
	}
	w := call(tenant, request(t, http.MethodPost, "/api/v1/"+deployHealth, "", basic(apiKey)))
	if w.Code != http.StatusForbidden || header(w, headerCSRF) != "required" {
		t.Errorf("Basic without token: %d %v", w.Code, w.Header())
	}
	w = call(tenant, request(t, http.MethodHead, "/api/v1/", "", basic(apiKey), head(headerCSRF, "Fetch")))
	resp := w.Result()
	defer resp.Body.Close()
	if w.Code != http.StatusOK {
		t.Fatalf("fetch: %d", w.Code)
	}
	proof := func(r *http.Request) {
		r.Header.Set(headerCSRF, header(w, headerCSRF))
		for _, c := range resp.Cookies() {
			r.AddCookie(c)
		}
	}
	if code, body := api(t, tenant, http.MethodPost, deployHealth, basic(apiKey), proof); code != http.StatusAccepted {
		t.Errorf("Basic with token: %d %s", code, body)
	}
	put := request(t, http.MethodPut, "/api/v1/UserCredentials('backend')", `{"Name":"backend","Kind":"default","User":"u","Password":"secret","Description":"d"}`, basic(apiKey), proof)
	if w := call(tenant, put); w.Code != http.StatusOK {
		t.Errorf("PUT UserCredentials: %d %s", w.Code, w.Body)
	}
	if code, body := api(t, tenant, http.MethodGet, "UserCredentials('backend')", basic(apiKey)); code != http.StatusOK || !strings.Contains(body, `"User":"u"`) || strings.Contains(body, "secret") {
		t.Errorf("GET UserCredentials: %d %s", code, body)
	}
	form := "grant_type=client_credentials&client_id=" + url.QueryEscape(apiKey.User) + "&client_secret=a"
	ask := request(t, http.MethodPost, "/oauth/token", form, head("Content-Type", "application/x-www-form-urlencoded"))
	token, _ := decode[map[string]any](t, call(tenant, ask).Body.Bytes())["access_token"].(string)
	if code, body := api(t, tenant, http.MethodPost, deployHealth, head("Authorization", "Bearer "+token)); code != http.StatusAccepted {
		t.Errorf("Bearer needs no token: %d %s", code, body)
	}
}

func TestMessageLogs(t *testing.T) {
	tenant := newTenant(t, TenantOptions{})
	get := func() { call(tenant, request(t, http.MethodGet, "/http/ping", "")) }
	get()
	set(t, tenant, `{"kind":"error"}`)
	w := call(tenant, request(t, http.MethodGet, "/http/health", ""))
	failed := strings.TrimPrefix(w.Body.String(), textFailed)
	logs := func(query string) []map[string]any {
		t.Helper()
		code, body := api(t, tenant, http.MethodGet, "MessageProcessingLogs"+query)
		if code != http.StatusOK {
			t.Fatalf("%s: %d %s", query, code, body)
		}
		return decode[struct {
			D struct{ Results []map[string]any }
		}](t, []byte(body)).D.Results
	}
	filter := func(state string) string { return "?$filter=" + url.QueryEscape("Status eq '"+state+"'") }
	if l := logs(filter(messageFailed)); len(l) != 1 || l[0]["MessageGuid"] != failed || l[0]["IntegrationFlowName"] != "HealthCheck" {
		t.Errorf("failed: %v, want %s", l, failed)
	}
	if l := logs(filter(messageProcessing)); l == nil || len(l) != 0 {
		t.Errorf("processing: %v, want an empty list", l)
	}
	if l := logs(""); len(l) != 2 || l[0]["Status"] != messageFailed || l[1]["Status"] != messageCompleted {
		t.Errorf("all: %v", l)
	}
	if l := logs("?$top=1"); len(l) != 1 {
		t.Errorf("top: %v", l)
	}
	if code, body := api(t, tenant, http.MethodGet, "MessageProcessingLogs/$count"); code != 200 || body != "2" {
		t.Errorf("count: %d %s", code, body)
	}
	if code, body := api(t, tenant, http.MethodGet, "MessageProcessingLogs('"+failed+"')"); code != 200 || status(t, body) != messageFailed {
		t.Errorf("one: %d %s", code, body)
	}
	for _, bad := range []string{"?$filter=LogEnd", filter("LOST"), "?$top=x"} {
		if code, _ := api(t, tenant, http.MethodGet, "MessageProcessingLogs"+bad); code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, code)
		}
	}
}

func TestMessageLogIsBounded(t *testing.T) {
	a := newAccount(0, time.Now)
	var last *message
	for range maxMessages + 7 {
		last = a.begin("x")
	}
	if l := a.messages(""); len(l) != maxMessages || l[0].id != last.id {
		t.Errorf("%d entries", len(l))
	}
}
