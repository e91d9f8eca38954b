package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const integration = `{"name":"integration","hostnames":["integration.dr.example"],"monitor":{"path":"/http/health"},
"endpoints":[{"name":"eu20","target":"127.0.0.11","origin":"http://127.0.0.11:9101"},{"name":"us21","target":"127.0.0.12","origin":"http://127.0.0.12:9102"}]}`

// at is the instant all fixed views look from.
var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func decoded(t testing.TB, text string) *profile.Profile {
	t.Helper()
	p, err := profile.DecodeProfile("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// viewOf builds a view of integration: one verdict per endpoint, some orders, a decision.
func viewOf(p *profile.Profile, d health.Decision, orders []health.Override, verdicts ...health.Status) *health.View {
	v := &health.View{Profile: p, Decision: d, Ready: true, Held: health.ProfileOrder(orders, health.HoldProfile, at)}
	v.Disabled = !p.Enabled || health.ProfileOrder(orders, health.DisableProfile, at) != nil
	for i := range p.Endpoints {
		e := health.EndpointView{Config: &p.Endpoints[i], Layer: health.LayerOf(orders, p.Endpoints[i].Name, at)}
		opinion := map[health.Status]health.Opinion{health.Online: health.Up, health.Degraded: health.Down}[verdicts[i]]
		e.Votes = []health.Ballot{{Node: "n1", Location: "eu-central", Vote: health.Vote{Opinion: opinion, Since: at.Add(-time.Hour), Reason: "seen " + opinion.String(), Successes: 12}}}
		e.Verdict = health.Verdict{Status: verdicts[i], Since: at.Add(-time.Hour), Reason: "1 of 1 voters say " + opinion.String()}
		health.Resolve(p, &e, v.Disabled, at)
		v.Endpoints = append(v.Endpoints, e)
	}
	return v
}

func activeAt(name string, epoch uint64) health.Decision {
	return health.Decision{Active: name, Epoch: epoch, Since: at.Add(-time.Minute), Reason: steer.ReasonQuorum, By: "n1"}
}

// rig is a server on real sockets over small stores in memory.
type rig struct {
	t       *testing.T
	server  *Server
	hub     *snapshot.Hub
	docs    *documents
	orders  *orders
	journal *journal
	secrets *vault
	socket  string
	url     string // of the TCP listener
	web     *http.Client
	unix    *http.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, hub: snapshot.NewHub(), docs: &documents{}, orders: &orders{}, journal: &journal{}, secrets: &vault{}, socket: filepath.Join(t.TempDir(), "api.sock")}
	r.server = New(Options{
		Socket: r.socket, Listen: "127.0.0.1:0", Hub: r.hub, Node: node, Documents: r.docs, Orders: r.orders, Journal: r.journal, Secrets: r.secrets, Version: "test",
		Explain: func(_ context.Context, name, qtype string, client netip.Addr, ecs netip.Prefix) (Explanation, error) {
			if name == "panic" {
				panic("a bug")
			}
			if name == "bad" {
				return Explanation{}, fmt.Errorf("secret internals of %s", name)
			}
			return Explanation{Name: name, Type: qtype, Client: client.String(), ECS: ecsText(ecs), Rcode: "NOERROR"}, nil
		},
		Probe: func(_ context.Context, p, e string) (ProbeResult, error) {
			return ProbeResult{Profile: p, Endpoint: e, OK: true, Reason: "status 200"}, nil
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "jurymast_up 1\n") }),
	})
	if err := r.server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.server.Serve()
	r.url = "http://" + r.server.Addrs()[1].String()
	web, local := &http.Transport{}, &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	}}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r.web, r.unix = &http.Client{Transport: web, CheckRedirect: noRedirect}, &http.Client{Transport: local}
	t.Cleanup(func() {
		web.CloseIdleConnections()
		local.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.server.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

// publish makes views the state of the node, with documents of the same profiles.
func (r *rig) publish(views ...*health.View) {
	r.t.Helper()
	docs := &snapshot.Documents{Generation: 1}
	for _, v := range views {
		docs.Profiles = append(docs.Profiles, v.Profile)
	}
	p, err := r.hub.Prepare(docs)
	if err != nil {
		r.t.Fatal(err)
	}
	r.hub.Publish(p, views...)
}

type reply struct {
	status int
	header http.Header
	body   string
}

// do sends one request; headers are "Name: value".
func (r *rig) do(client *http.Client, method, path, body string, headers ...string) reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if method == http.MethodPost || method == http.MethodPut {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(text)}
}

// problem checks that an answer is the problem with that status and code.
func (r *rig) problem(got reply, status int, code string) Problem {
	r.t.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(got.body), &p); err != nil {
		r.t.Fatalf("status %d, body is no problem: %q", got.status, got.body)
	}
	if got.status != status || p.Status != status || p.Code != code || got.header.Get("Content-Type") != "application/problem+json" {
		r.t.Fatalf("got %d %s %q, want %d %s", got.status, got.header.Get("Content-Type"), got.body, status, code)
	}
	return p
}

func into[T any](t *testing.T, got reply) T {
	t.Helper()
	var v T
	if got.status >= 300 {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	if err := json.Unmarshal([]byte(got.body), &v); err != nil {
		t.Fatalf("%v: %s", err, got.body)
	}
	return v
}

func node() NodeStatus {
	return NodeStatus{
		Name: "n1", Location: "eu-central", Version: "test", Started: at.Add(-time.Hour), Ready: true, Leader: "n1", Leads: true,
		Store: StoreStatus{Kind: "embedded", Reachable: true}, Generation: 7,
		Listeners: []Listener{{"dns", "udp+tcp", "127.0.0.1:5300"}}, Members: []NodeMember{{Name: "n1", Location: "eu-central"}},
	}
}

// documents is a DocumentStore in memory.
type documents struct {
	mu   sync.Mutex
	list []Document
	by   string
	fail error
}

func (d *documents) List() []Document {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

func (d *documents) find(kind, name string) int {
	return slices.IndexFunc(d.list, func(o Document) bool { return o.Kind == kind && o.Name == name })
}

func (d *documents) check(i int, ifMatch string) error {
	switch {
	case d.fail != nil:
		return d.fail
	case i >= 0 && d.list[i].Managed != "":
		return fmt.Errorf("%s/%s: %w %s; change the file", d.list[i].Kind, d.list[i].Name, ErrManaged, d.list[i].Managed)
	case ifMatch == IfAbsent && i >= 0, ifMatch == "*" && i < 0, ifMatch != "" && ifMatch[0] == '"' && (i < 0 || d.list[i].ETag != ifMatch):
		return ErrConflict
	}
	return nil
}

func (d *documents) Put(_ context.Context, kind, name string, source []byte, ifMatch, by string) (Document, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.find(kind, name)
	if err := d.check(i, ifMatch); err != nil {
		return Document{}, false, err
	}
	sum := sha256.Sum256(source)
	doc := Document{Kind: kind, Name: name, ETag: `"` + hex.EncodeToString(sum[:8]) + `"`, Source: bytes.Clone(source)}
	d.by = by
	if i >= 0 {
		d.list[i] = doc
		return doc, false, nil
	}
	d.list = append(d.list, doc)
	return doc, true, nil
}

func (d *documents) Delete(_ context.Context, kind, name, ifMatch, by string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.find(kind, name)
	if err := d.check(i, ifMatch); err != nil {
		return err
	}
	if i < 0 {
		return fmt.Errorf("%s/%s: %w", kind, name, ErrNotFound)
	}
	d.by, d.list = by, slices.Delete(d.list, i, i+1)
	return nil
}

func (d *documents) Apply(ctx context.Context, data []byte, by string) (ApplyResult, error) {
	f, err := profile.DecodeFile("apply", data)
	if err != nil {
		return ApplyResult{}, Invalid(err)
	}
	r := ApplyResult{Generation: 2}
	for _, doc := range f.Documents {
		_, created, err := d.Put(ctx, string(doc.Kind), doc.Name, doc.Source, "", by)
		if err != nil {
			return r, err
		}
		if created {
			r.Created = append(r.Created, doc.String())
		} else {
			r.Changed = append(r.Changed, doc.String())
		}
	}
	return r, nil
}

// orders is an OrderStore in memory.
type orders struct {
	mu      sync.Mutex
	list    []health.Override
	begun   map[string]time.Time
	changes []OrderChange // what was written
	fail    error
}

func (o *orders) Transact(_ context.Context, judge func(OrderBook) (OrderChange, error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	change, err := judge(OrderBook{Orders: slices.Clone(o.list), Begun: o.begun})
	if err != nil || o.fail != nil {
		return cmp.Or(err, o.fail)
	}
	if len(change.Place)+len(change.End) == 0 {
		return nil
	}
	o.changes = append(o.changes, change)
	o.begun = change.Begun
	o.list = slices.DeleteFunc(append(o.list, change.Place...), func(have health.Override) bool {
		return slices.ContainsFunc(change.End, func(end health.Override) bool { return end.ID == have.ID && targetOf(&end) == targetOf(&have) })
	})
	return nil
}

func (o *orders) Orders(name string) []health.Override {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(o.list), func(have health.Override) bool { return name != "" && have.Profile != name })
}

// journal is a Journal in memory; a reader that lags more than four entries is dropped.
type journal struct {
	mu      sync.Mutex
	list    []health.Entry
	readers []chan health.Entry
}

func (j *journal) add(e health.Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, e)
	j.readers = slices.DeleteFunc(j.readers, func(c chan health.Entry) bool {
		select {
		case c <- e:
			return false
		default:
			close(c)
			return true
		}
	})
}

func (j *journal) Read(limit int, match func(*health.Entry) bool) []health.Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []health.Entry
	for i := range j.list {
		if match == nil || match(&j.list[i]) {
			out = append(out, j.list[i])
		}
	}
	if limit > 0 && len(out) > limit {
		out = out[len(out)-limit:]
	}
	return out
}

func (j *journal) Subscribe(ctx context.Context) <-chan health.Entry {
	c := make(chan health.Entry, 4)
	j.mu.Lock()
	j.readers = append(j.readers, c)
	j.mu.Unlock()
	context.AfterFunc(ctx, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if i := slices.Index(j.readers, c); i >= 0 {
			j.readers = slices.Delete(j.readers, i, i+1)
			close(c)
		}
	})
	return c
}

// count of open subscriptions.
func (j *journal) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.readers)
}

func viewsProfiles(t *testing.T) []*profile.Profile {
	return []*profile.Profile{decoded(t, integration)}
}

func ecsText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}
