package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"jurymast/internal/health"
)

// Options of the demo.
type Options struct {
	Out    io.Writer
	Keep   bool // stay up after the show, until ctx ends
	Colour bool
}

// The clients of the show.
const (
	requestGap = 10 * time.Millisecond // 100 requests per second through the proxy
	queryGap   = 20 * time.Millisecond
)

// Run plays the demo and returns an error when what it promises did not happen.
func Run(ctx context.Context, o Options) error {
	s, err := layOut(ctx)
	if err != nil {
		return err
	}
	d := &show{o: o, site: s, began: time.Now()}
	defer d.end()
	if err := d.play(ctx); err != nil {
		d.keepFiles = true
		return fmt.Errorf("%w\nthe files of this run are kept in %s", err, s.dir)
	}
	if !o.Keep {
		return nil
	}
	d.say("", "still up; Ctrl-C ends it. Try:\n  dig @127.0.0.1 -p %s %s A\n  curl -H 'Host: %s' http://%s/http/health\n  %s --api http://%s status",
		port(s.dns), publicName, publicName, s.http, s.binary, s.api)
	<-ctx.Done()
	return nil
}

// show is one performance.
type show struct {
	o         Options
	site      *site
	began     time.Time
	node      *process
	eu20      *process
	children  []*process
	web, dns  watcher
	stopLoad  context.CancelFunc
	loadDone  chan struct{}
	keepFiles bool
}

func (d *show) play(ctx context.Context) error {
	if err := d.raise(ctx); err != nil {
		return err
	}
	if err := d.before(ctx); err != nil {
		return err
	}
	broke, failover, err := d.breakPrimary(ctx)
	if err != nil {
		return err
	}
	mended, failback, err := d.mendPrimary(ctx)
	if err != nil {
		return err
	}
	d.stopLoad()
	<-d.loadDone
	return d.summary(broke, failover, mended, failback)
}

// raise starts the two tenants and the node.
func (d *show) raise(ctx context.Context) error {
	s := d.site
	d.title("1. Two regional tenants and one node")
	var err error
	if d.eu20, err = d.tenant(ctx, "EU20", s.eu20, s.eu20Control); err != nil {
		return err
	}
	if _, err = d.tenant(ctx, "US21", s.us21, s.us21Control); err != nil {
		return err
	}
	began := time.Now()
	if d.node, err = d.child("node", "serve", "-c", s.file); err != nil {
		return err
	}
	err = d.node.await(ctx, "ready", 20*time.Second, func() bool { return get(ctx, "http://"+s.api+"/readyz") != nil })
	if err != nil {
		return err
	}
	d.say("", "node ready after %v: DNS %s, proxy %s, API and status page http://%s/status", since(began), s.dns, s.http, s.api)
	d.run(ctx, "check", "-c", s.file)
	return nil
}

func (d *show) tenant(ctx context.Context, region, addr, control string) (*process, error) {
	p, err := d.child("tenant-"+strings.ToLower(region), "lab", "tenant", "--listen", addr, "--control", control, "--region", region)
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, "listening", 10*time.Second, func() bool { return accepts(ctx, addr) }); err != nil {
		return nil, err
	}
	d.say("", "tenant %s listens on %s, process %d", region, addr, p.cmd.Process.Pid)
	return p, nil
}

func (d *show) child(name string, args ...string) (*process, error) {
	p, err := d.site.start(name, args...)
	if err == nil {
		d.children = append(d.children, p)
	}
	return p, err
}

// before shows the healthy state, by the ordinary verbs, and starts the clients.
func (d *show) before(ctx context.Context) error {
	d.title("2. Healthy: EU20 answers")
	load, cancel := context.WithCancel(ctx)
	d.stopLoad, d.loadDone = cancel, make(chan struct{})
	go func() {
		defer close(d.loadDone)
		queries := make(chan struct{})
		go func() {
			defer close(queries)
			d.dns.resolve(load, d.site.dns, queryGap)
		}()
		d.web.browse(load, d.site.http, requestGap)
		<-queries
	}()
	if err := d.answered(ctx, "127.0.0.11", "EU20"); err != nil {
		return err
	}
	d.run(ctx, "--api", "http://"+d.site.api, "status", "integration")
	d.answers()
	return nil
}

// breakPrimary kills the primary's process and follows the failover.
func (d *show) breakPrimary(ctx context.Context) (broke time.Time, e []health.Entry, err error) {
	d.title("3. The fault: kill -9 of EU20 under 100 requests per second")
	if err := pause(ctx, time.Second); err != nil {
		return broke, nil, err
	}
	broke = time.Now()
	d.eu20.kill()
	d.say("red", "EU20 is dead (process %d)", d.eu20.cmd.Process.Pid)
	if err := d.answered(ctx, "127.0.0.12", "US21"); err != nil {
		return broke, nil, err
	}
	e = d.timeline(ctx, broke)
	d.answers()
	return broke, e, nil
}

// mendPrimary starts it again and waits for the failback.
func (d *show) mendPrimary(ctx context.Context) (mended time.Time, e []health.Entry, err error) {
	d.title("4. The fault is mended: EU20 starts again, failback is auto")
	if err := pause(ctx, time.Second); err != nil {
		return mended, nil, err
	}
	mended = time.Now()
	if d.eu20, err = d.tenant(ctx, "EU20", d.site.eu20, d.site.eu20Control); err != nil {
		return mended, nil, err
	}
	if err := d.answered(ctx, "127.0.0.11", "EU20"); err != nil {
		return mended, nil, err
	}
	e = d.timeline(ctx, mended)
	d.answers()
	return mended, e, pause(ctx, time.Second)
}

// answered waits until both clients see the endpoint.
func (d *show) answered(ctx context.Context, addr, region string) error {
	return d.node.await(ctx, region+" answering DNS and HTTP", 20*time.Second, func() bool {
		return strings.HasPrefix(d.dns.last().what, addr) && strings.Contains(d.web.last().what, region)
	})
}

func (d *show) answers() {
	d.say("", "DNS   %s A  ->  %s", publicName, d.dns.last().what)
	d.say("", "HTTP  GET http://%s/http/health  ->  %s", publicName, d.web.last().what)
}

// timeline prints the node's own journal since t.
func (d *show) timeline(ctx context.Context, t time.Time) []health.Entry {
	var out []health.Entry
	var page struct {
		Entries []health.Entry `json:"entries"`
	}
	body := get(ctx, "http://"+d.site.api+"/api/v1/journal?limit=100")
	if json.Unmarshal(body, &page) != nil || page.Entries == nil {
		_ = json.Unmarshal(body, &page.Entries)
	}
	for _, e := range page.Entries {
		if e.At.Before(t) {
			continue
		}
		out = append(out, e)
		text := fmt.Sprintf("%-8s %s: %s -> %s", e.Kind, e.Endpoint, e.From, e.To)
		if e.Kind == health.EntryDecision {
			text = fmt.Sprintf("%-8s active %s -> %s, epoch %d, %s", e.Kind, e.From, e.To, e.Epoch, e.Reason)
		}
		d.say("cyan", "+%-7v %s", e.At.Sub(t).Round(time.Millisecond), text)
	}
	return out
}

// run shows an ordinary verb and its output.
func (d *show) run(ctx context.Context, args ...string) {
	cmd := exec.CommandContext(ctx, d.site.binary, args...) //nolint:gosec // our own binary
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // check exits 1 for findings; what it says is shown
	_, _ = fmt.Fprintf(d.o.Out, "\n$ jurymast %s\n%s\n", strings.Join(args, " "), strings.TrimRight(out.String(), "\n"))
}

// end stops everything in reverse and removes the folder.
func (d *show) end() {
	if d.stopLoad != nil {
		d.stopLoad()
		<-d.loadDone
	}
	for _, p := range slices.Backward(d.children) {
		p.stop()
	}
	if !d.keepFiles {
		_ = os.RemoveAll(d.site.dir)
	}
}

func (d *show) title(text string) { _, _ = fmt.Fprintf(d.o.Out, "\n%s\n", d.paint("bold", text)) }

// say prints one line of the timeline.
func (d *show) say(colour, format string, args ...any) {
	_, _ = fmt.Fprintf(d.o.Out, "%7.2fs  %s\n", time.Since(d.began).Seconds(), d.paint(colour, fmt.Sprintf(format, args...)))
}

func (d *show) paint(colour, text string) string {
	code := map[string]string{"bold": "1", "red": "31", "green": "32", "cyan": "36"}[colour]
	if !d.o.Colour || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
