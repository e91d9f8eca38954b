package api_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/api/client"
	"jurymast/internal/health"
	"jurymast/internal/profile"
)

func dial(t *testing.T, base string) *client.Client {
	t.Helper()
	c, err := client.New(base, client.Options{Timeout: 5 * time.Second, By: "tester"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestClient(t *testing.T) {
	r := api.StartForClient(t)
	for _, base := range []string{r.URL, "unix://" + r.Socket} {
		t.Run(base[:4], func(t *testing.T) { exercise(t, dial(t, base)) })
	}
}

func exercise(t *testing.T, c *client.Client) {
	ctx := t.Context()
	docs := []profile.Document{{Kind: profile.KindProfile, Name: "integration", Source: []byte(api.Integration)}}
	applied := must(c.Apply(ctx, docs))(t)
	if len(applied.Created)+len(applied.Changed) != 1 {
		t.Errorf("%+v", applied)
	}
	list := must(c.Documents(ctx, profile.KindProfile))(t)
	if len(list) != 1 || list[0].Name != "integration" {
		t.Fatalf("%+v", list)
	}
	if zones := must(c.Documents(ctx, profile.KindZone))(t); len(zones) != 0 {
		t.Errorf("%+v", zones)
	}
	doc := must(c.Document(ctx, profile.KindProfile, "integration"))(t)
	doc = must(c.Put(ctx, profile.KindProfile, "integration", doc.Source, doc.ETag))(t)
	_, err := c.Put(ctx, profile.KindProfile, "integration", doc.Source, api.IfAbsent)
	_ = wantError[*client.ConflictError](t, err)
	_, err = c.Put(ctx, profile.KindProfile, "integration", []byte(`{"name":"integration","hostname":1}`), "")
	if e := wantError[*client.InvalidError](t, err); !strings.Contains(e.Error(), "hostname") || !strings.Contains(e.Error(), "\n") {
		t.Errorf("%v", e)
	}
	_, err = c.Document(ctx, profile.KindZone, "no/such zone?")
	_ = wantError[*client.NotFoundError](t, err)

	if n := must(c.Node(ctx))(t); n.Name != "n1" {
		t.Errorf("%+v", n)
	}
	if n := must(c.Nodes(ctx))(t); len(n) != 1 {
		t.Errorf("%+v", n)
	}
	if ready := must(c.Ready(ctx))(t); !ready.Ready {
		t.Errorf("%+v", ready)
	}
	if s := must(c.Statuses(ctx))(t); len(s) != 1 {
		t.Errorf("%+v", s)
	}
	if s := must(c.Status(ctx, "integration"))(t); s.Endpoints[0].Votes[0].Opinion != health.Up {
		t.Errorf("%+v", s)
	}
	if e := must(c.Explain(ctx, "integration.dr.example", "", "", "192.0.2.7/24"))(t); e.Type != "A" || e.ECS != "192.0.2.0/24" {
		t.Errorf("%+v", e)
	}
	if p := must(c.Probe(ctx, "integration", "eu20"))(t); !p.OK {
		t.Errorf("%+v", p)
	}
	placed := must(c.Order(ctx, "integration", api.OrderRequest{Act: "drain", Endpoint: "us21", For: "5m"}))(t)
	if !strings.HasSuffix(placed.Placed[0].By, "(tester)") {
		t.Errorf("%+v", placed)
	}
	_, err = c.Order(ctx, "integration", api.OrderRequest{Act: "drain", Endpoint: "eu20"})
	if e := wantError[*client.RefusedError](t, err); !e.Guard {
		t.Errorf("%+v", e)
	}
	_, err = c.Order(ctx, "integration", api.OrderRequest{Act: "failback"})
	if e := wantError[*client.RefusedError](t, err); e.Guard {
		t.Errorf("%+v", e)
	}
	held := must(c.Orders(ctx, "integration"))(t)
	if len(held) != 1 {
		t.Fatalf("%+v", held)
	}
	if ended := must(c.EndOrder(ctx, "integration", held[0].ID, "over", false))(t); len(ended.Ended) != 1 {
		t.Errorf("%+v", ended)
	}
	if j := must(c.Journal(ctx, client.JournalQuery{Profile: "integration", Kind: health.EntryVote, Since: time.Now().Add(-time.Hour), Limit: 5}))(t); len(j) != 0 {
		t.Errorf("%+v", j)
	}
	if j := must(c.Audit(ctx, 0))(t); j == nil {
		t.Error("null")
	}
	if err := c.Delete(ctx, profile.KindProfile, "integration", doc.ETag); err != nil {
		t.Error(err)
	}
}

func TestClientFollowsOverALostConnection(t *testing.T) {
	r := api.StartForClient(t)
	r.Tell(health.Entry{ID: "0", Profile: "integration"}) // before: not told
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	c := dial(t, "unix://"+r.Socket)
	var seen []string
	err := c.Follow(ctx, "", func(e client.Event) error {
		switch {
		case e.Status != nil:
			if seen = append(seen, e.Status.Name); len(seen) == 1 {
				r.Restart(t) // nothing told yet, and the reader still loses nothing
				r.Tell(health.Entry{ID: "1"})
			}
		case e.Entry != nil:
			if seen = append(seen, e.Entry.ID); e.Entry.ID == "1" {
				cancel()
			}
		}
		return nil
	})
	if got := strings.Join(seen, " "); err != nil || got != "integration integration 1" {
		t.Errorf("%q %v", got, err)
	}
	stop := errors.New("enough")
	if err := c.Follow(t.Context(), "", func(client.Event) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

func TestClientReachesNobody(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	_ = l.Close()
	for _, base := range []string{"http://" + free, "unix://" + t.TempDir() + "/none.sock"} {
		c := dial(t, base)
		_, err := c.Node(t.Context())
		if e := wantError[*client.UnreachableError](t, err); !strings.Contains(e.Error(), base) || !strings.Contains(e.Error(), "jurymast serve") {
			t.Errorf("%v", e)
		}
		_ = wantError[*client.UnreachableError](t, c.Events(t.Context(), "", func(health.Entry) error { return nil }))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dial(t, "http://"+free).Node(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "127.0.0.1:9460", "ftp://x", "http://", "unix://", "http://u:p@x", "http://x/path"} {
		if _, err := client.New(bad, client.Options{}); err == nil || !strings.Contains(err.Error(), "allowed") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantError[E error](t *testing.T, err error) (e E) {
	t.Helper()
	if !errors.As(err, &e) {
		t.Fatalf("error %T %v, want %T", err, err, e)
	}
	return e
}
