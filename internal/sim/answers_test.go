package sim_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/geo"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

// TestAnswers runs testdata/answers/*.txt: stories of one node with real documents, the real loop and real answers. A line
// is a command; the lines behind it that start with "> " are what came of it.
//
//	config                           the lines indented behind it are the file's profiles; every profile starts anew or is kept
//	table                            the lines indented behind it are a latency table, prefix,region,ms
//	probe PROFILE/EP[/CHECK] ok|bad ...  results in a row, one interval apart
//	order ACT PROFILE[/EP] ... [for D]   one order over all that are named, ids count from 1; end ID ends it
//	swap ID ACT PROFILE[/EP] ...     ends one order and places another, as one change
//	signal PROFILE/EP up|down [for D]    an external signal, default life 60 s
//	wait D
//	status PROFILE                   monitor statuses, and the reasons of what is not Online
//	ask PROFILE [from ADDR] [in CODE] [at LAT,LON] [dice N]   what a question gets
//	spread PROFILE N [...]           N questions with dice 1..N, what they got together
func TestAnswers(t *testing.T) {
	files, err := filepath.Glob("testdata/answers/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d stories: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = tellStory(t, string(text)) })
			switch {
			case *update:
				if err := os.WriteFile(f, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			case got != string(text):
				t.Fatalf("the story has changed; run with -update and review.\n%s", firstDifference(string(text), got))
			}
		})
	}
}

// tellStory plays a story and writes it anew.
func tellStory(t *testing.T, text string) string {
	w := newTale(t)
	defer w.end()
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		if strings.HasPrefix(lines[i], "> ") {
			continue
		}
		out.WriteString(lines[i] + "\n")
		words := strings.Fields(lines[i])
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		var block strings.Builder
		for words[0] == "config" || words[0] == "table" {
			if i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "  ") {
				break
			}
			i++
			out.WriteString(lines[i] + "\n")
			block.WriteString(lines[i] + "\n")
		}
		for _, said := range w.do(words, block.String()) {
			out.WriteString("> " + said + "\n")
		}
	}
	return out.String()
}

// tale is one node with a store that takes every decision.
type tale struct {
	t       *testing.T
	hub     *snapshot.Hub
	loop    *engine.Loop
	stop    context.CancelFunc
	done    chan struct{}
	docs    map[string]*profile.Profile
	table   *geo.Table
	orders  []health.Override
	acts    int
	signals map[string]map[string]health.Signal
	gen     uint64
}

func newTale(t *testing.T) *tale {
	w := &tale{t: t, hub: snapshot.NewHub(), done: make(chan struct{}), docs: map[string]*profile.Profile{}, signals: map[string]map[string]health.Signal{}}
	w.loop = engine.New(engine.Options{
		Start: engine.Start{Self: engine.Member{Name: "n1"}, Solo: true}, Hub: w.hub, Carrier: carries{w}, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	go func() {
		defer close(w.done)
		w.loop.Run(ctx)
	}()
	w.loop.PostAll(engine.MembersSeen{Members: []engine.Member{{Name: "n1"}}})
	w.loop.PostAll(engine.StoreSeen{Reachable: true})
	w.loop.PostAll(engine.RoleSeen{Leader: true})
	return w
}

func (w *tale) end() {
	w.stop()
	<-w.done
}

// carries is the store and the probes of a tale.
type carries struct{ w *tale }

func (c carries) Carry(name string, e engine.Effect) {
	switch e := e.(type) {
	case engine.WriteDecision:
		c.w.loop.Post(name, engine.DecisionSeen{Decision: e.Next, Rev: e.Prev + 1})
	case engine.EndOrder:
		go c.w.endOrder(e.ID)
	default:
	}
}
func (carries) Blind(bool)                     {}
func (carries) Published([]*health.View, bool) {}

func (w *tale) do(words []string, block string) []string {
	args := words[1:]
	switch words[0] {
	case "config":
		w.config(block)
	case "table":
		table, err := geo.ParseTable(strings.NewReader(strings.ReplaceAll(block, "  ", "")))
		w.must(err)
		w.table = table
	case "probe":
		w.probe(args)
	case "order":
		w.order(args)
	case "end":
		w.endOrder(args[0])
	case "swap":
		w.orders = slices.DeleteFunc(w.orders, func(o health.Override) bool { return o.ID == args[0] })
		w.order(args[1:])
	case "signal":
		w.signal(args)
	case "wait":
		time.Sleep(w.duration(args[0]))
	case "status":
		synctest.Wait()
		return w.status(args[0])
	case "ask":
		synctest.Wait()
		return []string{w.ask(args)}
	case "spread":
		synctest.Wait()
		return w.spread(args)
	default:
		w.t.Fatalf("unknown command %q", words[0])
	}
	synctest.Wait()
	return nil
}

func (w *tale) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *tale) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	w.must(err)
	return d
}

// config replaces all documents; one that is written as before stays the same one.
func (w *tale) config(block string) {
	f, err := profile.DecodeFile("story.yaml", []byte("node: {secrets: {T: {env: T}}}\nprofiles:\n"+block))
	w.must(err)
	w.gen++
	docs := &snapshot.Documents{Generation: w.gen}
	for i := range f.Profiles {
		docs.Profiles = append(docs.Profiles, &f.Profiles[i])
	}
	if ps := profile.CheckTogether(docs.Profiles); len(ps) > 0 {
		w.t.Fatal(ps)
	}
	prepared, err := w.hub.Prepare(docs)
	w.must(err)
	w.loop.Replace(engine.Replacement{Prepared: prepared})
}

func (w *tale) view(name string) *health.View {
	v := w.hub.Load().View(name)
	if v == nil {
		w.t.Fatalf("no profile %q", name)
	}
	return v
}

func (w *tale) probe(args []string) {
	path := strings.Split(args[0], "/")
	check := ""
	if len(path) == 3 {
		check = path[2]
	}
	e := w.view(path[0]).Endpoint(path[1])
	if e == nil {
		w.t.Fatalf("no endpoint %q", args[0])
	}
	for i, result := range args[1:] {
		if i > 0 {
			time.Sleep(e.Config.Monitor.Interval)
		}
		w.loop.Post(path[0], engine.Observed{Endpoint: path[1], Check: check, Obs: health.Observation{At: time.Now(), OK: result == "ok", Reason: result, Latency: 20 * time.Millisecond}})
		synctest.Wait()
	}
}

// order places one act over everything that is named, as one change.
func (w *tale) order(args []string) {
	w.acts++
	o := health.Override{ID: strconv.Itoa(w.acts), By: "ops", At: time.Now()}
	w.must(o.Act.UnmarshalText([]byte(args[0])))
	names := args[1:]
	if i := slices.Index(args, "for"); i > 0 {
		o.Until, names = time.Now().Add(w.duration(args[i+1])), args[1:i]
	}
	for _, n := range names {
		one := o
		one.Profile, one.Endpoint, _ = strings.Cut(n, "/")
		w.orders = append(w.orders, one)
	}
	w.tellOrders()
}

func (w *tale) endOrder(id string) {
	w.orders = slices.DeleteFunc(w.orders, func(o health.Override) bool { return o.ID == id })
	w.tellOrders()
}

func (w *tale) tellOrders() {
	events := map[string]engine.Event{}
	for _, doc := range w.hub.Load().Documents().Profiles {
		mine := slices.DeleteFunc(slices.Clone(w.orders), func(o health.Override) bool { return o.Profile != doc.Name })
		events[doc.Name] = engine.OrdersSeen{Orders: mine}
	}
	w.loop.PostTogether(events)
}

func (w *tale) signal(args []string) {
	p, e, _ := strings.Cut(args[0], "/")
	life := time.Minute
	if len(args) == 4 {
		life = w.duration(args[3])
	}
	s := health.Signal{Profile: p, Endpoint: e, At: time.Now(), Until: time.Now().Add(life)}
	w.must(s.State.UnmarshalText([]byte(args[1])))
	all := map[string]health.Signal{e: s}
	for name, old := range w.signals[p] {
		if name != e {
			all[name] = old
		}
	}
	w.signals[p] = all
	w.loop.Post(p, engine.SignalsSeen{Signals: all})
}

func (w *tale) status(name string) []string {
	v := w.view(name)
	parts := make([]string, len(v.Endpoints))
	var why []string
	for i := range v.Endpoints {
		e := &v.Endpoints[i]
		parts[i] = e.Config.Name + " " + e.Status.String()
		if e.Layer.Shown != nil {
			parts[i] += fmt.Sprintf(" (%s, really %s)", e.Layer.Shown.Act, e.Verdict.Status)
		}
		if (e.Status == health.Degraded || e.Status == health.CheckingEndpoint || e.Nested() && e.Status != health.Online) && e.Layer.Shown == nil {
			why = append(why, "  "+e.Config.Name+": "+e.Verdict.Reason)
		}
	}
	head := v.ProfileStatus() + ": " + strings.Join(parts, ", ")
	if len(parts) == 0 {
		head = v.ProfileStatus() + ": no endpoints"
	}
	if d := v.Decision; d.Epoch > 0 {
		head += fmt.Sprintf("; active %s, epoch %d, %s", d.Active, d.Epoch, d.Reason)
	}
	if k := v.Decision.Keeps; k != "" {
		head += ", sessions stay on " + k
	}
	return append([]string{head}, why...)
}

// client reads who asks.
func (w *tale) client(args []string) (c steer.Client, dice uint64) {
	c.Addr, dice = netip.MustParseAddr("203.0.113.1"), 1
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "from":
			c.Addr = netip.MustParseAddr(args[i+1])
		case "in":
			code, ok := geo.ParseCode(args[i+1])
			if !ok {
				w.t.Fatalf("no code %q", args[i+1])
			}
			c.Place.Code, c.Place.Known = code, true
		case "at":
			_, err := fmt.Sscanf(args[i+1], "%f,%f", &c.Place.Position.Lat, &c.Place.Position.Lon)
			w.must(err)
			c.Place.HasPosition = true
		case "dice":
			n, err := strconv.ParseUint(args[i+1], 10, 64)
			w.must(err)
			dice = n
		}
	}
	c.Bits = c.Addr.BitLen()
	c.Row = w.table.Find(c.Addr)
	return c, dice
}

func (w *tale) ask(args []string) string {
	c, dice := w.client(args[1:])
	plan := steer.Compile(w.view(args[0]))
	return said(plan, plan.Pick(&c, func() uint64 { return dice * 0x9e3779b97f4a7c15 }, nil))
}

// said words an answer: what, for how long, why.
func said(plan *steer.Plan, p steer.Pick) string {
	var what string
	switch {
	case p.Leaf >= 0:
		l := &plan.Leaves()[p.Leaf]
		what = l.View.Profile.Name + "/" + l.Name()
	case p.Set >= 0:
		set := plan.Sets()[p.Set]
		names := make([]string, len(set.Leaves))
		for i, n := range set.Leaves {
			names[i] = plan.Leaves()[n].Name()
		}
		what = fmt.Sprintf("%d of {%s}", set.Max, strings.Join(names, ", "))
	case p.NX:
		what = "NXDOMAIN"
	case p.Serving == steer.ServingNotReady, p.Serving == steer.ServingHalted:
		what = "SERVFAIL"
	default:
		what = "NODATA"
	}
	line := fmt.Sprintf("%s, ttl %v, %s, %s", what, p.TTL, p.Serving, p.Rule)
	if p.Stale {
		line += ", stale"
	}
	return line
}

func (w *tale) spread(args []string) []string {
	n, err := strconv.Atoi(args[1])
	w.must(err)
	c, _ := w.client(args[2:])
	plan := steer.Compile(w.view(args[0]))
	count := map[string]int{}
	for i := range n {
		p := plan.Pick(&c, func() uint64 { return uint64(i+1) * 0x9e3779b97f4a7c15 }, nil)
		count[said(plan, p)]++
	}
	var out []string
	for what, k := range count {
		out = append(out, fmt.Sprintf("%3.0f%% %s", 100*float64(k)/float64(n), what))
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(b, a) })
	return out
}
