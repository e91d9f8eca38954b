package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/bench/side"
)

const (
	// goalEvents: p99 under events to that of the quiet run. Equal is the aim; the rest is noise of two runs.
	goalEvents = 1.25

	// leastEvents of those intended must have happened, else the run says nothing.
	leastEvents = 0.8

	eventSeconds = 10 // at least

	verdictChanges = "jurymast_verdict_changes_total"
)

// origin answers the probes of all flapping profiles. While it flips, each of its paths is good and bad in turn.
type origin struct {
	url   string
	flip  atomic.Bool
	close func() error

	mu  sync.Mutex
	bad map[string]bool
}

func newOrigin() (*origin, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed below
	if err != nil {
		return nil, err
	}
	o := &origin{url: "http://" + l.Addr().String(), bad: map[string]bool{}}
	s := &http.Server{Handler: o, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	o.close = func() error {
		err := s.Close()
		if end := <-done; !errors.Is(end, http.ErrServerClosed) {
			return errors.Join(err, end)
		}
		return err
	}
	return o, nil
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !o.flip.Load() {
		return // 200
	}
	o.mu.Lock()
	bad := !o.bad[r.URL.Path]
	o.bad[r.URL.Path] = bad
	o.mu.Unlock()
	if bad {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

var eventColumns = []column{
	{"rate", "q/s", "%.0f"},
	{"p50", "p50 us", "%.0f"},
	{"p99", "p99 us", "%.0f"},
	{"p999", "p99.9 us", "%.0f"},
	{"max", "max us", "%.0f"},
	{"lost", "lost", "%.0f"},
	{"wrong", "not NOERROR", "%.0f"},
	{"flips", "flips", "%.0f"},
	{"reloads", "reloads", "%.0f"},
	{"other", "other %", "%.0f"},
}

// events sets a quiet Jurymast against one in which ten profiles flip once a second each and the configuration file,
// zone included, is rewritten every second. Both probe the same.
func (b *bench) events() (err error) {
	if err := b.findMost(b.servers[:1]); err != nil {
		return err
	}
	rate := b.most[jurymast] * share
	if rate == 0 {
		b.report.most("answers lost under events", 0, 0, "the most queries per second could not be measured")
		return nil
	}
	o, err := newOrigin()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	quiet := world{names: usual, dynamic: true, origin: o.url}
	loud := quiet
	loud.events = true
	seconds := max(b.Seconds, eventSeconds)
	list := []contender{{label: "quiet", server: b.servers[0], world: quiet}, {label: "events", server: b.servers[0], world: loud}}
	all, err := b.pairs("events", b.Pairs, list, func(l *live) (side.Values, error) { return b.eventsOf(l, o, rate, seconds) })
	if err != nil {
		return err
	}
	b.report.table(fmt.Sprintf("Under events for %d s at %.0f queries per second, %.0f %% of the most", seconds, rate, 100*share), "events", eventColumns...)
	b.judgeEvents(all[0], all[1], seconds)
	return nil
}

func (b *bench) judgeEvents(quiet, loud *outcome, seconds int) {
	lost, wrong, why := 0.0, 0.0, ""
	for round, v := range loud.Runs {
		switch {
		case v == nil:
			why = fmt.Sprintf("pair %d was not measured", round+1)
		case v["flips"] < leastEvents*float64(flappers*seconds) || v["reloads"] < leastEvents*float64(seconds):
			why = fmt.Sprintf("pair %d saw %.0f flips and %.0f reloads in %d s", round+1, v["flips"], v["reloads"], seconds)
		}
		lost, wrong = lost+v["lost"], wrong+v["wrong"]
	}
	b.report.most("answers lost under events", lost, 0, why)
	b.report.most("answers under events that are not NOERROR with a record", wrong, 0, why)
	f, none := ratio(loud, quiet.To("p99"), "p99")
	b.report.most("p99 under events to quiet (25 % is noise)", f, goalEvents, why+none)
}

// eventsOf is one run. What is lost is a result here, no reason to try again.
func (b *bench) eventsOf(l *live, o *origin, rate float64, seconds int) (side.Values, error) {
	if _, err := b.load(l, rate, 1); err != nil {
		return nil, err
	}
	o.flip.Store(l.world.events)
	defer o.flip.Store(false)
	before, err := l.metric(b.ctx, verdictChanges)
	if err != nil {
		return nil, err
	}
	stop, done := make(chan struct{}), make(chan int, 1)
	if l.world.events {
		go func() { done <- l.reload(stop) }()
	}
	var r loadResult
	u, err := b.spent(l, func() (err error) {
		r, err = b.load(l, rate, seconds)
		return err
	})
	close(stop)
	if err != nil {
		return nil, err
	}
	changes, err := l.metric(b.ctx, verdictChanges)
	if err != nil {
		return nil, err
	}
	v := side.Values{
		"rate": r.QPS, "lost": float64(r.Lost), "wrong": float64(r.Answers - r.Rcodes[noerror] + r.Empty),
		"flips": changes - before, "reloads": 0, "us": microseconds(u.cpu, r.Answers), "other": u.other,
	}
	if l.world.events {
		v["reloads"] = float64(<-done)
	}
	maps.Copy(v, r.Quantile)
	return v, nil
}

// reload rewrites the configuration every second, with another record in the zone, and counts how many were answered
// with before the next came.
func (l *live) reload(stop <-chan struct{}) (seen int) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		l.world.edition++
		if l.configure() != nil {
			return seen
		}
		select {
		case <-stop:
			return seen
		case <-tick.C:
		}
		answer, err := ask(l.port, "edition."+zone, typeTXT)
		if err == nil && bytes.HasSuffix(answer, []byte(strconv.Itoa(l.world.edition))) {
			seen++
		}
	}
}

// metric is the sum over all series of a name.
func (l *live) metric(ctx context.Context, name string) (sum float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", l.api), http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("metrics of %s: %s", l.name, resp.Status)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok && strings.HasPrefix(rest, "{") {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:]), 64)
			if err != nil {
				return 0, err
			}
			sum += v
		}
	}
	return sum, nil
}
