package api

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/steer"
)

// troubledPage is a node on which much happens: a profile that is all down, one that waits for a delayed failback and is
// held, an open gate.
func troubledPage(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	moment := time.Now().UTC().Truncate(time.Second)
	long := health.Override{ID: "1", Act: health.HoldProfile, Profile: "calm", By: "uid 1000 (operations)", Note: "until the cutover of the database is through, see the change record", At: moment.Add(-time.Hour), Until: moment.Add(20 * time.Minute)}
	gate := health.Override{ID: "2", Act: health.OpenGate, Gate: "change", By: "anna", Note: "window", At: moment.Add(-time.Minute), Until: moment.Add(time.Hour)}
	r.orders.list = []health.Override{long, gate}
	pending := activeAt("us21", 4)
	pending.Pending, pending.PendingSince = "eu20", moment.Add(-10*time.Minute)
	calm := viewOf(decoded(t, strings.NewReplacer(`"name":"integration"`, `"name":"calm","failback":{"mode":"delayed","after":"30m"}`, "integration.dr", "calm.dr").Replace(integration)), pending, nil, up, up)
	calm.Held = &long
	calm.Endpoints[0].Verdict.Reason = "held down until " + moment.Add(-time.Minute).Format(time.RFC3339) + ", probes pass"
	pool := viewOf(decoded(t, `{"name":"pool","routing":"weighted","hostnames":["pool.dr.example"],"endpoints":[{"name":"p1","target":"127.0.0.31"},{"name":"p2","target":"127.0.0.32","monitor":{"assume":"up"}}]}`), health.Decision{}, nil, up, wait)
	dark := viewOf(decoded(t, integration), activeAt("eu20", 3), nil, down, down)
	r.publish(calm, dark, pool)
	r.server.o.Explain = func(_ context.Context, name, _ string, _ netip.Addr, _ netip.Prefix) (Explanation, error) {
		return Explanation{
			Name: name, Profile: "integration", Serving: string(steer.ServingAllDown), Proxy: "held up to 5s, then 503",
			Answer: []string{name + ".\t1\tIN\tA\t127.0.0.11"}, Trail: []steer.Step{{Step: "choice", Result: "eu20"}, {Step: "choice", Rule: "all down", Result: "eu20"}},
		}, nil
	}
	return r
}

// TestPageSaysWhatStatusSays: what is down, what is answered all the same, gates, and when a failback comes.
func TestPageSaysWhatStatusSays(t *testing.T) {
	page := troubledPage(t).page()
	for _, want := range []string{
		"<strong>ALL DOWN</strong>: every eligible endpoint is down (eu20, us21)", "Answered all the same, because a doubtful answer beats none: eu20, A 127.0.0.11<",
		"Proxy: held up to 5s, then 503", "<strong>Gate change is open</strong> by anna", "eu20 is healthy again and returns by itself in ", "<strong>Held</strong> by uid 1000",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q:\n%s", want, page)
		}
	}
	if n := strings.Count(page, "<th>Priority</th>"); n != 2 {
		t.Errorf("%d profiles have a column for the priority, two are routed by it", n)
	}
	if strings.Contains(page, "held down until "+time.Now().UTC().Format("2006-")) || strings.Contains(page, `"word wait">Held`) {
		t.Error("a reason carries a full timestamp, or a sentence cannot wrap")
	}
	for _, row := range strings.Split(page, "<tr>")[1:] {
		if strings.Contains(row, "p2") && !strings.Contains(row, `class="off">-</td>`) {
			t.Errorf("p2 is not probed, its row says %s", row)
		}
	}
}

func (r *rig) page() string { return r.do(r.web, "GET", "/status", "", "Accept: text/html").body }

// TestPageClock: the date is told when it is not that of the page.
func TestPageClock(t *testing.T) {
	d := pageData{At: at}
	got := []string{d.Clock(at.Add(-time.Hour)), d.Clock(at.Add(-24 * time.Hour)), d.Left(at), d.Left(at.Add(90 * time.Second)), d.Left(at.Add(90 * time.Minute)), d.Left(at.Add(50 * time.Hour)), d.Words("since 2026-03-01T11:00:00Z, not 2026-13-41T11:00:00Z")}
	want := []string{"11:00:00", "2026-02-28 12:00:00", "", "1m30s", "1h30m", "2d2h", "since 11:00:00, not 2026-13-41T11:00:00Z"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
