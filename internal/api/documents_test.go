package api

import (
	"strings"
	"testing"
	"time"

	"jurymast/internal/health"
)

func TestDocuments(t *testing.T) {
	r := newRig(t)
	const path = "/api/v1/profiles/integration"
	r.problem(r.do(r.web, "GET", path, ""), 404, CodeNotFound)
	r.problem(r.do(r.web, "PUT", path, integration, `If-Match: "00"`), 412, CodePrecondition)
	r.problem(r.do(r.web, "PUT", path, integration, `If-Match: *`), 412, CodePrecondition)

	created := r.do(r.web, "PUT", path, integration, "If-None-Match: *")
	doc := into[Document](t, created)
	tag := created.header.Get("ETag")
	if created.status != 201 || tag == "" || tag != doc.ETag || !strings.Contains(string(doc.Source), `"eu20"`) {
		t.Fatalf("%d %q %+v", created.status, tag, doc)
	}
	r.problem(r.do(r.web, "PUT", path, integration, "If-None-Match: *"), 412, CodePrecondition)

	got := r.do(r.web, "GET", path, "")
	if got.status != 200 || got.header.Get("ETag") != tag {
		t.Errorf("%d %q", got.status, got.header.Get("ETag"))
	}
	for _, known := range []string{tag, `"other", ` + tag, "W/" + tag, "*", strings.Trim(tag, `"`)} {
		if got := r.do(r.web, "GET", path, "", "If-None-Match: "+known); got.status != 304 || got.body != "" || got.header.Get("ETag") != tag {
			t.Errorf("If-None-Match %s: %d %q", known, got.status, got.body)
		}
	}

	yaml := "name: integration\nhostnames: [integration.dr.example]\nttl: 10s\nendpoints:\n- {name: eu20, target: 127.0.0.11}\n"
	replaced := r.do(r.web, "PUT", path, yaml, "If-Match: "+tag, "Content-Type: application/yaml")
	if doc := into[Document](t, replaced); replaced.status != 200 || !strings.HasPrefix(string(doc.Source), "{") || replaced.header.Get("ETag") == tag {
		t.Errorf("%d %+v", replaced.status, doc)
	}
	r.problem(r.do(r.web, "PUT", path, integration, "If-Match: "+tag), 412, CodePrecondition)
	r.problem(r.do(r.web, "PUT", path, integration, "If-Match: "+tag, "If-None-Match: *"), 400, CodeRequest)
	r.problem(r.do(r.web, "PUT", path, integration, "If-Match: W/"+tag), 400, CodeRequest)
	r.problem(r.do(r.web, "DELETE", path, "", "If-Match: "+tag), 412, CodePrecondition)

	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, up, up))
	list := into[ProfileList](t, r.do(r.web, "GET", "/api/v1/profiles", ""))
	if len(list.Profiles) != 1 || list.Profiles[0].Status == nil || list.Profiles[0].Status.Active != "eu20" {
		t.Errorf("%+v", list)
	}
	if got := r.do(r.web, "DELETE", path, "", "If-Match: "+replaced.header.Get("ETag")); got.status != 204 {
		t.Errorf("%d %s", got.status, got.body)
	}
	r.problem(r.do(r.web, "DELETE", path, ""), 404, CodeNotFound)
}

func TestEveryMistakeOfADocumentIsTold(t *testing.T) {
	r := newRig(t)
	bad := strings.NewReplacer(`"monitor"`, `"monitr"`, `"target":"127.0.0.12"`, `"target":"127.0.0.12","priority":-1`).Replace(integration)
	p := r.problem(r.do(r.web, "PUT", "/api/v1/profiles/integration", bad), 422, CodeInvalid)
	text := ""
	for _, item := range p.Errors {
		text += item.String() + "\n"
		if item.Line == 0 || item.File != "profiles/integration" {
			t.Errorf("no place: %+v", item)
		}
	}
	if len(p.Errors) != 2 || !strings.Contains(text, "monitr") || !strings.Contains(text, "priority") {
		t.Errorf("%s", text)
	}
	p = r.problem(r.do(r.web, "PUT", "/api/v1/profiles/other", integration), 422, CodeInvalid)
	if !strings.Contains(p.Errors[0].Message, "same name") {
		t.Errorf("%+v", p)
	}
	r.problem(r.do(r.web, "PUT", "/api/v1/profiles/integration", `"`), 422, CodeInvalid)
	r.problem(r.do(r.web, "PUT", "/api/v1/profiles/integration", ""), 400, CodeRequest)
}

func TestManagedDocumentsAreReadOnly(t *testing.T) {
	r := newRig(t)
	r.docs.list = []Document{{Kind: "zones", Name: "dr.example", Managed: "/etc/jurymast.yaml", ETag: `"1"`, Source: []byte(`{}`)}}
	zone := `{"name":"dr.example","nameservers":["ns1.dr.example"],"hostmaster":"ops.dr.example"}`
	p := r.problem(r.do(r.web, "PUT", "/api/v1/zones/dr.example", zone), 409, CodeManaged)
	if !strings.Contains(p.Detail, "/etc/jurymast.yaml") {
		t.Errorf("%+v", p)
	}
	r.problem(r.do(r.web, "DELETE", "/api/v1/zones/dr.example", ""), 409, CodeManaged)
	if l := into[ZoneList](t, r.do(r.web, "GET", "/api/v1/zones", "")); len(l.Zones) != 1 {
		t.Errorf("%+v", l)
	}
}

func TestApply(t *testing.T) {
	r := newRig(t)
	got := into[ApplyResult](t, r.do(r.web, "POST", "/api/v1/apply", `{"profiles":[`+integration+`]}`))
	if len(got.Created) != 1 || got.Created[0] != "profiles/integration" || got.Changed == nil {
		t.Errorf("%+v", got)
	}
	yaml := "node: {name: elsewhere}\nzones:\n- {name: dr.example, nameservers: [ns1.dr.example], hostmaster: ops.dr.example, records: \"ns1 300 A 127.0.0.1\"}\n"
	got = into[ApplyResult](t, r.do(r.web, "POST", "/api/v1/apply", yaml, "Content-Type: application/yaml"))
	if len(got.Created) != 1 || got.Created[0] != "zones/dr.example" {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{`{}`, `{"profiles":[]}`, `{"profiles":[{"name":""}]}`, `{"zones":[{"name":"dr.example","file":"/etc/shadow"}]}`} {
		r.problem(r.do(r.web, "POST", "/api/v1/apply", bad), 422, CodeInvalid)
	}
}

func TestTools(t *testing.T) {
	r := newRig(t)
	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, up, up))
	e := into[Explanation](t, r.do(r.web, "GET", "/api/v1/explain?name=integration.dr.example&type=aaaa&client=192.0.2.7", ""))
	if e.Type != "AAAA" || e.Client != "192.0.2.7" || e.Answer == nil {
		t.Errorf("%+v", e)
	}
	r.problem(r.do(r.web, "GET", "/api/v1/explain", ""), 422, CodeInvalid)
	r.problem(r.do(r.web, "GET", "/api/v1/explain?name=x&client=mars", ""), 422, CodeInvalid)
	if p := into[ProbeResult](t, r.do(r.web, "POST", "/api/v1/profiles/integration/endpoints/eu20/probe", "")); !p.OK || p.Endpoint != "eu20" {
		t.Errorf("%+v", p)
	}
	r.problem(r.do(r.web, "POST", "/api/v1/profiles/integration/endpoints/mars/probe", ""), 404, CodeNotFound)
	r.problem(r.do(r.web, "GET", "/api/v1/profiles/integration/endpoints/eu20/probe", ""), 405, CodeRequest)
}

func TestJournal(t *testing.T) {
	r := newRig(t)
	for i, kind := range []health.EntryKind{health.EntryVote, health.EntryAct, health.EntryConfig, health.EntryDecision, health.EntryAct} {
		r.journal.add(health.Entry{ID: string(rune('a' + i)), At: at.Add(time.Duration(i) * time.Minute), Kind: kind, Profile: []string{"p", "q"}[i%2]})
	}
	for query, want := range map[string]string{
		"journal": "abcde", "journal?limit=2": "de", "journal?profile=q": "bd", "journal?kind=act": "be", "journal?kind=act&profile=p": "e",
		"journal?since=2026-03-01T12:02:00Z": "cde", "journal?since=1ms": "", "audit": "bce", "audit?limit=1": "e",
	} {
		got := ""
		for _, e := range into[EntryList](t, r.do(r.web, "GET", "/api/v1/"+query, "")).Entries {
			got += e.ID
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	r.problem(r.do(r.web, "GET", "/api/v1/journal?kind=gossip", ""), 422, CodeInvalid)
	r.problem(r.do(r.web, "GET", "/api/v1/journal?since=yesterday", ""), 422, CodeInvalid)
}
