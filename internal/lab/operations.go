package lab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// platform answers the token endpoint and the operations API (OData version 2, JSON alone).
func (t *Tenant) platform(w http.ResponseWriter, r *http.Request, f Fault) answer {
	if f.Kind == FaultSlow && !t.pause(r, t.faults.delay(f)) {
		return answer{dropped: true}
	}
	if f.Kind == FaultOverload {
		return tomcat(http.StatusServiceUnavailable)
	}
	if r.URL.Path == "/oauth/token" {
		return t.token(r)
	}
	id := t.identify(r)
	if len(t.opts.APIAuth) > 0 {
		if a, ok := t.refusal(id, roleAPI); !ok {
			return a
		}
	}
	// A token is needed where a browser would add the credentials by itself, so not with Bearer.
	if modifies(r.Method) && (id.basic || t.secrets.session(r) != "") && !t.secrets.proven(r) {
		return t.secrets.issue(tomcat(http.StatusForbidden), r, false)
	}
	a := t.operation(w, r, id.user)
	if fetches(r) {
		a = t.secrets.issue(a, r, true)
	}
	return a
}

// entity is one path segment: Name('key') or Name(Property='key').
type entity struct {
	name, key string
	keyed     bool
}

func parseEntity(segment string) entity {
	name, rest, found := strings.Cut(segment, "(")
	if !found {
		return entity{name: segment}
	}
	rest = strings.TrimSuffix(rest, ")")
	if _, value, ok := strings.Cut(rest, "='"); ok {
		rest = "'" + value
	}
	return entity{name: name, key: unquote(rest), keyed: true}
}

// unquote takes the quotes of an OData text away; a doubled quote inside stands for one.
func unquote(text string) string {
	if len(text) >= 2 && text[0] == '\'' && text[len(text)-1] == '\'' {
		text = text[1 : len(text)-1]
	}
	return strings.ReplaceAll(text, "''", "'")
}

// operation answers one call. by is the caller's user name.
func (t *Tenant) operation(w http.ResponseWriter, r *http.Request, by string) answer {
	path := strings.Trim(strings.TrimPrefix(r.URL.Path, platformPrefix), "/")
	head, tail, _ := strings.Cut(path, "/")
	e := parseEntity(head)
	switch {
	case path == "" && reads(r):
		return jsonAnswer(http.StatusOK, map[string]any{"d": map[string]any{"EntitySets": entitySets}})
	case e.name == "DeployIntegrationDesigntimeArtifact" && r.Method == http.MethodPost:
		return t.deploy(r.URL.Query(), by)
	case e.name == "BuildAndDeployStatus" && e.keyed && reads(r):
		return t.taskStatus(e.key)
	case e.name == "IntegrationRuntimeArtifacts":
		return t.runtimeArtifacts(r, e, tail)
	case e.name == "IntegrationPackages" && reads(r):
		return t.packages(e, tail)
	case e.name == "IntegrationDesigntimeArtifacts" && e.keyed && tail == "" && reads(r):
		return designOne(e.key)
	case e.name == "ServiceEndpoints" && !e.keyed && tail == "" && reads(r):
		return t.serviceEndpoints(r)
	case e.name == "MessageProcessingLogs" && reads(r):
		return t.messageLogs(r.URL.Query(), e, tail)
	case e.name == "UserCredentials" && tail == "":
		return t.userCredentials(w, r, e)
	}
	if slices.Contains(entitySets, e.name) || e.name == "DeployIntegrationDesigntimeArtifact" || e.name == "BuildAndDeployStatus" {
		return odataError(http.StatusNotImplemented, r.Method+" "+r.URL.Path+" is not among the calls this stand-in knows; see docs/lab.md")
	}
	return odataError(http.StatusNotFound, "Could not find an entity set or function import for '"+shorten40(e.name)+"'.")
}

var entitySets = []string{
	"IntegrationPackages", "IntegrationDesigntimeArtifacts", "IntegrationRuntimeArtifacts", "ServiceEndpoints", "MessageProcessingLogs",
	"UserCredentials",
}

func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func odataError(status int, text string) answer {
	return jsonAnswer(status, map[string]any{"error": map[string]any{
		"code": http.StatusText(status), "message": map[string]string{"lang": "en", "value": text},
	}})
}

func one(v any) answer { return jsonAnswer(http.StatusOK, map[string]any{"d": v}) }

func many[T any](list []T) answer {
	if list == nil {
		list = []T{}
	}
	return jsonAnswer(http.StatusOK, map[string]any{"d": map[string]any{"results": list}})
}

// odataTime is the JSON form of a time: milliseconds since the epoch.
func odataTime(at time.Time) string { return fmt.Sprintf("/Date(%d)/", at.UnixMilli()) }

func (t *Tenant) deploy(q url.Values, by string) answer {
	id, version := unquote(q.Get("Id")), unquote(q.Get("Version"))
	a := designed(id)
	switch {
	case id == "" || version == "":
		return odataError(http.StatusBadRequest, "Id and Version are needed: ?Id='HealthCheck'&Version='active'")
	case a == nil:
		return odataError(http.StatusInternalServerError, "Integration design time artifact "+shorten40(id)+" not found")
	case version != "active" && version != a.Version:
		return odataError(http.StatusInternalServerError, "Version "+shorten40(version)+" of "+id+" not found; there is active = "+a.Version)
	}
	task := t.landscape.deploy(a, by, t.account.licensed(), t.opts.Now())
	t.log.Info("lab tenant deploys", "region", t.opts.Region, "artifact", id, "task", task)
	return textAnswer(http.StatusAccepted, typeText, task)
}

func (t *Tenant) taskStatus(id string) answer {
	st, ok := t.landscape.taskStatus(id, t.opts.Now())
	if !ok {
		return odataError(http.StatusNotFound, "Task "+shorten40(id)+" not found")
	}
	return one(map[string]string{"TaskId": id, "Status": st})
}

func (t *Tenant) runtimeArtifacts(r *http.Request, e entity, tail string) answer {
	now := t.opts.Now()
	list := t.landscape.running(now)
	if !e.keyed && tail == "" && reads(r) {
		views := make([]map[string]string, len(list))
		for i := range list {
			views[i] = runtimeView(&list[i], now)
		}
		return many(views)
	}
	at := slices.IndexFunc(list, func(d deployment) bool { return d.art.ID == e.key })
	switch {
	case !e.keyed || at < 0:
		return odataError(http.StatusNotFound, "Requested entity could not be found.")
	case r.Method == http.MethodDelete && tail == "":
		if !t.landscape.undeploy(e.key, now) {
			return odataError(http.StatusNotFound, "Requested entity could not be found.")
		}
		t.log.Info("lab tenant undeploys", "region", t.opts.Region, "artifact", e.key)
		return answer{status: http.StatusAccepted}
	case tail == "" && reads(r):
		return one(runtimeView(&list[at], now))
	case tail == "ErrorInformation/$value" && reads(r) && list[at].status(now) == statusError:
		return jsonAnswer(http.StatusOK, map[string]any{"message": map[string]string{
			"subsystemName": "CONTENT_DEPLOY", "messageId": "START_FAILED", "messageText": list[at].trouble,
		}})
	}
	return odataError(http.StatusNotFound, "Requested entity could not be found.")
}

func runtimeView(d *deployment, now time.Time) map[string]string {
	return map[string]string{
		"Id": d.art.ID, "Version": d.art.Version, "Name": d.art.Name, "Type": "INTEGRATION_FLOW",
		"DeployedBy": d.by, "DeployedOn": odataTime(d.on), "Status": d.status(now),
	}
}

func (t *Tenant) packages(e entity, tail string) answer {
	pack := map[string]string{"Id": labPackage, "Name": "Jurymast lab", "Version": "1.0.0", "Mode": "EDIT_ALLOWED"}
	switch {
	case !e.keyed && tail == "":
		return many([]map[string]string{pack})
	case e.key != labPackage:
		return odataError(http.StatusNotFound, "Integration package "+shorten40(e.key)+" not found; there is "+labPackage)
	case tail == "":
		return one(pack)
	case tail == "IntegrationDesigntimeArtifacts":
		var views []map[string]string
		for _, a := range designTime {
			views = append(views, designView(a))
		}
		return many(views)
	}
	return odataError(http.StatusNotFound, "Requested entity could not be found.")
}

func designOne(id string) answer {
	if a := designed(id); a != nil {
		return one(designView(a))
	}
	return odataError(http.StatusNotFound, "Requested entity could not be found.")
}

func designView(a *artifact) map[string]string {
	return map[string]string{"Id": a.ID, "Version": a.Version, "PackageId": labPackage, "Name": a.Name, "Description": "", "Sender": a.Address}
}

// serviceEndpoints lists the addresses of started flows, later than they start.
func (t *Tenant) serviceEndpoints(r *http.Request) answer {
	now := t.opts.Now()
	scheme := "http"
	if t.opts.secure() {
		scheme = "https"
	}
	var views []map[string]any
	for _, d := range t.landscape.running(now) {
		born := d.by == "lab" && d.on.Equal(d.settle)
		if d.status(now) != statusStarted || !born && now.Before(d.settle.Add(t.opts.EndpointLag)) {
			continue
		}
		protocol := "REST"
		if d.art.kind == flowSOAP {
			protocol = "SOAP"
		}
		views = append(views, map[string]any{
			"Name": d.art.Name, "Id": d.art.ID, "Title": d.art.Name, "Version": d.art.Version, "Protocol": protocol,
			"LastUpdated": odataTime(d.settle),
			"EntryPoints": map[string]any{"results": []map[string]string{{
				"Name": d.art.Name, "Url": scheme + "://" + r.Host + d.art.Address, "Type": "PROD",
			}}},
		})
	}
	return many(views)
}

func (t *Tenant) messageLogs(q url.Values, e entity, tail string) answer {
	if e.keyed {
		list := t.account.messages("")
		at := slices.IndexFunc(list, func(m message) bool { return m.id == e.key })
		if at < 0 || tail != "" {
			return odataError(http.StatusNotFound, "Requested entity could not be found.")
		}
		return one(messageView(&list[at]))
	}
	status, err := parseFilter(q.Get("$filter"))
	if err != nil {
		return odataError(http.StatusBadRequest, err.Error())
	}
	list := t.account.messages(status)
	if tail == "$count" {
		return textAnswer(http.StatusOK, typeText, strconv.Itoa(len(list)))
	}
	if tail != "" {
		return odataError(http.StatusNotFound, "Requested entity could not be found.")
	}
	if top := q.Get("$top"); top != "" {
		n, err := strconv.Atoi(top)
		if err != nil || n < 0 {
			return odataError(http.StatusBadRequest, "$top: want a whole number, 0 or more")
		}
		list = list[:min(n, len(list))]
	}
	views := make([]map[string]any, len(list))
	for i := range list {
		views[i] = messageView(&list[i])
	}
	return many(views)
}

// parseFilter knows one form, the one a planned switchover needs: Status eq 'PROCESSING'.
func parseFilter(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	words := strings.Fields(text)
	if len(words) != 3 || words[0] != "Status" || words[1] != "eq" || !strings.HasPrefix(words[2], "'") {
		return "", fmt.Errorf("$filter: this stand-in knows only Status eq 'STATE', not %q", shorten40(text))
	}
	status := unquote(words[2])
	if !slices.Contains(messageStates, status) {
		return "", fmt.Errorf("$filter: unknown state %q; allowed: %s", shorten40(status), strings.Join(messageStates, ", "))
	}
	return status, nil
}

func messageView(m *message) map[string]any {
	v := map[string]any{
		"MessageGuid": m.id, "CorrelationId": m.correlation, "IntegrationFlowName": m.flow, "Status": m.status,
		"LogStart": odataTime(m.start), "LogEnd": nil,
	}
	if !m.end.IsZero() {
		v["LogEnd"] = odataTime(m.end)
	}
	return v
}

// storedCredential is one entry of UserCredentials. The password is kept in memory to tell a change; nothing shows it.
type storedCredential struct {
	Name        string `json:"Name"`
	Kind        string `json:"Kind"`
	User        string `json:"User"`
	Password    string `json:"Password,omitempty"`
	Description string `json:"Description"`
}

// maxCredentials bounds what a caller can make us keep.
const maxCredentials = 1000

// vault holds the credentials put through the API.
type vault struct {
	mu   sync.Mutex
	list map[string]storedCredential
}

func (v *vault) put(c storedCredential) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.list[c.Name]; !known && len(v.list) >= maxCredentials {
		return false
	}
	if v.list == nil {
		v.list = map[string]storedCredential{}
	}
	v.list[c.Name] = c
	return true
}

// all returns copies without passwords, by name.
func (v *vault) all() []storedCredential {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]storedCredential, 0, len(v.list))
	for _, c := range v.list {
		c.Password = ""
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b storedCredential) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (t *Tenant) userCredentials(w http.ResponseWriter, r *http.Request, e entity) answer {
	if reads(r) {
		list := t.vault.all()
		if !e.keyed {
			return many(list)
		}
		if at := slices.IndexFunc(list, func(c storedCredential) bool { return c.Name == e.key }); at >= 0 {
			return one(list[at])
		}
		return odataError(http.StatusNotFound, "Requested entity could not be found.")
	}
	if r.Method != http.MethodPut || !e.keyed || e.key == "" {
		return odataError(http.StatusNotImplemented, "this stand-in knows GET UserCredentials and PUT UserCredentials('name')")
	}
	var c storedCredential
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxFaultText)).Decode(&c); err != nil {
		return odataError(http.StatusBadRequest, "want JSON with Name, Kind, User, Password, Description: "+err.Error())
	}
	if c.Name == "" {
		c.Name = e.key
	}
	if c.Kind == "" {
		c.Kind = "default"
	}
	if c.Name != e.key || c.Kind != "default" || c.User == "" {
		return odataError(http.StatusInternalServerError, "Name must be that of the address, Kind must be default, User must not be empty")
	}
	if !t.vault.put(c) {
		return odataError(http.StatusInternalServerError, "too many credentials; this stand-in keeps "+strconv.Itoa(maxCredentials))
	}
	return answer{status: http.StatusOK}
}
