package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"jurymast/internal/api"
	"jurymast/internal/health"
	"jurymast/internal/steer"
)

// fakeNode answers with fixed values of the real shapes and remembers nothing. It refuses what a guard would refuse
// (the endpoint named "last") and what is not there ("nothing"); every other order is granted.
type fakeNode struct {
	http.ServeMux
}

// startFakeNode is the script command `node [hang|unix|html|proxy|json]`: it starts one and points JURYMAST_API at it.
// The last three are no node: a web server, our proxy without a node behind it, and another program's API.
func startFakeNode(ts *testscript.TestScript, _ bool, args []string) {
	network, address := "tcp", "127.0.0.1:0"
	mode := strings.Join(args, " ")
	if mode == "unix" {
		network, address = "unix", filepath.Join(ts.MkAbs("."), "n.sock")
	}
	l, err := net.Listen(network, address)
	ts.Check(err)
	url := "http://" + l.Addr().String()
	if mode == "unix" {
		url = "unix://" + address
	}
	var handler http.Handler = newFakeNode()
	switch mode {
	case "html":
		handler = foreign(http.StatusOK, "text/html; charset=utf-8", "<!doctype html><title>Welcome</title>")
	case "proxy":
		handler = foreign(http.StatusServiceUnavailable, "application/problem+json", `{"title":"Service Unavailable","status":503,"reason":"NH"}`)
	case "json":
		handler = foreign(http.StatusOK, "application/json", `{"hello":"world"}`)
	case "hang":
		handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	ts.Defer(func() { _ = server.Close() })
	ts.Setenv("JURYMAST_API", url)
}

func foreign(status int, kind, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func newFakeNode() *fakeNode {
	n := &fakeNode{}
	n.HandleFunc("GET /api/v1/node", func(w http.ResponseWriter, _ *http.Request) { answer(w, fakeNodeStatus()) })
	n.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, api.StatusList{Profiles: []api.ProfileStatus{fakeProfile()}})
	})
	n.HandleFunc("GET /api/v1/profiles/{name}/status", known(func(w http.ResponseWriter, r *http.Request) {
		answer(w, fakeProfileNamed(r.PathValue("name")))
	}))
	n.HandleFunc("GET /api/v1/explain", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		e := fakeExplanation(q.Get("name"), q.Get("type"), q.Get("client"))
		if e.Name == "dark.dr.example" {
			e.Profile, e.Serving, e.Proxy = "dark", "all-down", "held up to 5s, then 503: all endpoints are down"
			e.Trail = []steer.Step{{Step: "choice", Rule: "all down", Result: "eu20"}}
		}
		if e.Name == "www.other.example" {
			e = api.Explanation{Name: e.Name, Type: e.Type, Rcode: "REFUSED"}
		}
		if e.ECS = q.Get("ecs"); e.Name == "www.dr.example" {
			fakeGeographic(&e)
		}
		answer(w, e)
	})
	n.HandleFunc("POST /api/v1/profiles/{name}/endpoints/{endpoint}/probe", known(func(w http.ResponseWriter, r *http.Request) {
		answer(w, fakeProbe(r.PathValue("endpoint")))
	}))
	n.HandleFunc("POST /api/v1/profiles/{name}/orders", known(takeOrder))
	operatorRoutes(n)
	secretRoutes(n)
	zoneRoutes(n)
	trafficRoutes(n)
	n.HandleFunc("POST /api/v1/apply", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, api.ApplyResult{Generation: 8, Created: []string{"zones/dr.example"}, Changed: []string{"profiles/integration"}, Unchanged: []string{"profiles/other"}})
	})
	n.HandleFunc("GET /api/v1/profiles", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, api.ProfileList{Profiles: []api.ProfileListing{{Document: fakeDocument("profiles")}}})
	})
	n.HandleFunc("GET /api/v1/zones", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, api.ZoneList{Zones: []api.Document{fakeDocument("zones")}})
	})
	n.HandleFunc("GET /api/v1/{kind}/{name}", known(func(w http.ResponseWriter, r *http.Request) {
		answer(w, fakeDocumentNamed(r.PathValue("kind"), r.PathValue("name")))
	}))
	n.HandleFunc("DELETE /api/v1/{kind}/{name}", known(func(w http.ResponseWriter, r *http.Request) {
		if match := r.Header.Get("If-Match"); match != "" && match != fakeDocument("profiles").ETag {
			refuse(w, http.StatusPreconditionFailed, api.CodePrecondition, "the document has the ETag "+fakeDocument("profiles").ETag+" now; read it again and repeat")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	n.HandleFunc("GET /api/v1/journal", func(w http.ResponseWriter, r *http.Request) {
		list := api.EntryList{Entries: []health.Entry{}}
		if name := r.URL.Query().Get("profile"); name == "" || name == "integration" {
			list.Entries = fakeEntries()
		}
		answer(w, list)
	})
	n.HandleFunc("GET /api/v1/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		told := append(fakeEntries(), health.Entry{ID: "4", At: moment.Add(time.Hour), Node: "n1", Kind: health.EntryAlarm, Reason: "disk full"})
		state, _ := json.Marshal(fakeProfile())
		_, _ = fmt.Fprintf(w, "event: status\ndata: %s\n\n", state)
		for i := range told[1:] {
			text, _ := json.Marshal(told[1+i])
			_, _ = fmt.Fprintf(w, "id: %s\nevent: entry\ndata: %s\n\n", told[1+i].ID, text)
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	n.HandleFunc("GET /api/v1/audit", func(w http.ResponseWriter, _ *http.Request) { answer(w, api.EntryList{Entries: fakeEntries()[2:]}) })
	return n
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail})
}

// known refuses names that are not there or belong to a file.
func known(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, key := range []string{"name", "endpoint"} {
			switch name := r.PathValue(key); name {
			case "nothing", "integratio", "eu200", "dr.exampel":
				refuse(w, http.StatusNotFound, api.CodeNotFound, fmt.Sprintf("%s %q: not found", key, name))
				return
			case "managed":
				refuse(w, http.StatusConflict, api.CodeManaged, "managed by /etc/jurymast.yaml; change it there")
				return
			}
		}
		next(w, r)
	}
}

func takeOrder(w http.ResponseWriter, r *http.Request) {
	var o api.OrderRequest
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		refuse(w, http.StatusBadRequest, api.CodeRequest, err.Error())
		return
	}
	switch {
	case o.Endpoint == "nothing", o.Endpoint == "eu200":
		refuse(w, http.StatusNotFound, api.CodeNotFound, fmt.Sprintf("endpoint %q: not found", o.Endpoint))
		return
	case o.Endpoint == "last" && !o.BreakGlass:
		refuse(w, http.StatusConflict, api.CodeGuard, "no usable endpoint would be left")
		return
	}
	text := o.Act + " " + r.PathValue("name")
	if o.Endpoint != "" {
		text += "/" + o.Endpoint
	}
	if o.For != "" {
		text += " for " + o.For
	}
	if o.Note != "" {
		text += " (" + o.Note + ")"
	}
	answer(w, api.OrderResult{Message: text})
}

// since is two days and an hour ago, whenever the test runs; moment is a fixed point for the journal.
var since = time.Now().Add(-49*time.Hour - 30*time.Minute)

var moment = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func fakeNodeStatus() api.NodeStatus {
	return api.NodeStatus{
		Name: "n1", Location: "eu-central", Version: "v1", Started: since, Ready: true, Leader: "n1", Leads: true,
		Locations: []api.LocationFile{
			{Path: "/var/lib/city.mmdb", Kind: "location database", Type: "GeoLite2-City", Built: moment, Records: 123},
			{Path: "/etc/latency.csv", Kind: "latency table", Records: 9, Fault: "line 3: no number"},
		},
		Store: api.StoreStatus{Kind: "embedded", Reachable: true}, Generation: 7,
		Config:  api.ConfigStatus{File: "jurymast.yaml", Applied: since, Error: "jurymast.yaml:3:5: profiles[0].tll: unknown key"},
		Members: []api.NodeMember{{Name: "n1", Location: "eu-central"}, {Name: "n2", Location: "us-east", Blind: true}},
		Alarms:  []string{"restart needed"},
	}
}

func fakeProfile() api.ProfileStatus {
	vote := func(node string, o health.Opinion) health.Ballot {
		return health.Ballot{Node: node, Location: "eu-central", Vote: health.Vote{Opinion: o, Since: since, Reason: "status 200"}}
	}
	return api.ProfileStatus{
		Name: "integration", Hostnames: []string{"integration.dr.example"}, Routing: "priority", MonitorStatus: "Online",
		Serving: "preferred", TTL: "30s",
		Decision: &api.DecisionStatus{Active: "eu20", Epoch: 3, Since: since, Reason: "eu20 is preferred and up", Pending: "us21", PendingSince: &since},
		Endpoints: []api.EndpointStatus{
			{
				Name: "eu20", Target: "127.0.0.11", Priority: 1, MonitorStatus: "Online", Real: "up", Since: since,
				Reason: "status 200", TTL: "30s", Votes: []health.Ballot{vote("n1", health.Up), vote("n2", health.Up)},
			},
			{
				Name: "us21", Target: "127.0.0.12", Priority: 2, MonitorStatus: "Degraded", Real: "up", Since: since,
				Reason:   "forced down: maintenance\x1b[2J",
				Override: &api.OverrideStatus{ID: "1", Act: "force-down", By: "anna", Note: "maintenance\x1b[2J", At: since},
				TTL:      "10s", Votes: []health.Ballot{vote("n1", health.Up), vote("n2", health.Down)},
			},
		},
	}
}

// fakeProfileNamed is fakeProfile in the state its name says: dark (all down), held, or delayed (failback).
func fakeProfileNamed(name string) api.ProfileStatus {
	if s, ok := fakeMethod(name); ok {
		return s
	}
	s := fakeProfile()
	s.Name = name
	switch name {
	case "held":
		s.Held = &api.OverrideStatus{ID: "2", Act: "hold-profile", By: "anna", At: since}
	case "dark":
		s.Endpoints = append(
			s.Endpoints,
			api.EndpointStatus{
				Name: "ap10", MonitorStatus: "Online", Real: "up", Since: since, Reason: "status 200", TTL: "10s",
				Override: &api.OverrideStatus{ID: "3", Act: "drain", By: "anna", At: since},
			},
			api.EndpointStatus{Name: "sa5", MonitorStatus: "Disabled", Real: "up", Since: since, Reason: "status 200", TTL: "10s"},
		)
		allDown(&s)
		s.Hostnames = []string{"dark.dr.example"}
	case "mute": // nobody answers its name here
		allDown(&s)
	}
	return s
}

func allDown(s *api.ProfileStatus) {
	s.Serving, s.MonitorStatus, s.TTL, s.Decision.Pending = "all-down", "Degraded", "1s", ""
	s.Endpoints[0].MonitorStatus, s.Endpoints[0].Real = "Degraded", "down"
}

// fakeDocumentNamed is fakeDocument with the failback its name says; delayed is due in half an hour.
func fakeDocumentNamed(kind, name string) api.Document {
	after, ok := map[string]string{"delayed": "50h", "overdue": "49h"}[name]
	if !ok {
		return fakeDocument(kind)
	}
	d := fakeDocument(kind)
	d.Name = name
	d.Source = fmt.Appendf(nil, `{"name":%q,"hostnames":["x.example"],"endpoints":[{"name":"a","target":"127.0.0.11"},{"name":"b","target":"127.0.0.12"}],"failback":{"mode":"delayed","after":%q}}`, name, after)
	return d
}

func fakeDocument(kind string) api.Document {
	source := `{"name":"integration","hostnames":["integration.dr.example"],"endpoints":[{"name":"eu20","target":"127.0.0.11"}]}`
	name := "integration"
	if kind == "zones" {
		name, source = "dr.example", `{"name":"dr.example","nameservers":["ns1.dr.example"],"hostmaster":"ops.dr.example","records":"ns1 300 A 127.0.0.1\nwww 300 A 127.0.0.2\n"}`
	}
	return api.Document{Kind: kind, Name: name, Managed: "/etc/jurymast.yaml", ETag: `"7-1"`, Source: json.RawMessage(source)}
}

func fakeExplanation(name, qtype, client string) api.Explanation {
	return api.Explanation{
		Name: name, Type: qtype, Client: client, Zone: "dr.example", Profile: "integration", Kind: "profile", Rcode: "NOERROR",
		Answer: []string{name + ".\t30\tIN\t" + qtype + "\t127.0.0.11"}, TTL: "30s", Epoch: 3, Serving: "preferred",
		Proxy: "would send to eu20",
		Trail: []steer.Step{
			{Step: "decision", Rule: "priority", Input: "epoch 3", Result: "eu20"},
			{Step: "ttl", Result: "30s"},
		},
	}
}

func fakeProbe(endpoint string) api.ProbeResult {
	r := api.ProbeResult{
		Profile: "integration", Endpoint: endpoint, OK: true, Reason: "status 200", Address: "127.0.0.1:9101", Total: "12ms",
		Phases: []api.ProbePhase{{Name: "resolve", Duration: "1ms", Detail: "127.0.0.1"}, {Name: "connect", Duration: "2ms", Detail: "127.0.0.1:9101"}, {Name: "first byte", Duration: "9ms", Detail: "HTTP/1.1 200"}},
	}
	if endpoint == "us21" {
		r.OK, r.Reason, r.Class = false, "status 500, expected 200", "status"
	}
	return r
}

func fakeEntries() []health.Entry {
	return []health.Entry{
		{ID: "1", At: moment, Node: "n1", Kind: health.EntryVerdict, Profile: "integration", Endpoint: "eu20", From: "Online", To: "Degraded", Reason: "2 of 2 nodes say down"},
		{ID: "2", At: moment.Add(time.Second), Node: "n1", Kind: health.EntryDecision, Profile: "integration", From: "eu20", To: "us21", Epoch: 4, Reason: "eu20 is down"},
		{ID: "3", At: moment.Add(2 * time.Second), Node: "n1", Kind: health.EntryAct, Profile: "integration", Endpoint: "eu20", To: "disable", By: "anna", Note: "patch day"},
	}
}
