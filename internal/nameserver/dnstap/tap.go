package dnstap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/dnstap/golang-dnstap"
	framestream "github.com/farsightsec/golang-framestream"
	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/nameserver/tap"
)

const (
	turn     = 50 * time.Millisecond // between two looks at the rings
	patience = 3 * time.Second       // for connecting, and for the collector to take something
	shortest = time.Second
	longest  = 30 * time.Second
)

// Options of a Tap. Exactly one of Socket, Address and File says where messages go.
type Options struct {
	Socket  string // unix socket of a collector
	Address string // host:port of one over TCP
	File    string // what is there already is kept as FILE.old

	Identity, Version string
	Queries           bool // AUTH_QUERY
	Responses         bool // AUTH_RESPONSE
	Full              bool // whole addresses of clients, also in client subnets
	Logger            *slog.Logger
}

// Tap writes what the loops have seen. Make it with Open, run Run.
type Tap struct {
	o                 Options
	identity, version []byte
	reopen            chan struct{}

	written, failed, away atomic.Uint64
	connected             atomic.Bool

	mu    sync.Mutex // guards loops
	loops []*Loop

	// The writer's alone.
	out     *framestream.Writer // nil: there is none now
	close   func()
	pending uint64 // frames given to out since it was flushed
	next    time.Time
	backOff time.Duration
	batch   [][]byte
}

// Open opens the file, or says what is wrong with it. A collector need not be there.
func Open(o Options) (*Tap, error) {
	t := &Tap{o: o, identity: []byte(o.Identity), version: []byte(o.Version), reopen: make(chan struct{}, 1)}
	if t.o.Logger == nil {
		t.o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.File == "" {
		return t, nil
	}
	if err := t.openFile(); err != nil {
		return nil, fmt.Errorf("dnstap: %w", err)
	}
	return t, nil
}

// Loop is for one more loop.
func (t *Tap) Loop() *Loop {
	l := &Loop{ring: tap.NewRing[entry](ringSize), queries: t.o.Queries, responses: t.o.Responses}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loops = append(t.loops, l)
	return l
}

// Reopen makes the writer begin a new file, for programs that rotate them. It returns at once.
func (t *Tap) Reopen() {
	select {
	case t.reopen <- struct{}{}:
	default:
	}
}

// Run writes until stop is closed, and what is left then.
func (t *Tap) Run(stop <-chan struct{}) {
	tick := time.NewTicker(turn)
	defer tick.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel() // also a connecting under way
		case <-ctx.Done():
		}
	}()
	for {
		select {
		case <-stop:
			t.empty()
			t.finish()
			return
		case <-t.reopen:
			if t.o.File != "" {
				t.empty()
				t.finish()
				t.next = time.Time{}
			}
		case now := <-tick.C:
			t.connect(ctx, now)
			t.empty()
		}
	}
}

// connect opens the way to the collector when there is none and it is time.
func (t *Tap) connect(ctx context.Context, now time.Time) {
	if t.out != nil || now.Before(t.next) {
		return
	}
	var err error
	if t.o.File != "" {
		err = t.openFile()
	} else {
		err = t.dial(ctx)
	}
	if err == nil {
		t.backOff = 0
		t.o.Logger.Info("dnstap goes to its collector", "to", t.to())
		return
	}
	if t.backOff == 0 && ctx.Err() == nil { // the first of a row
		t.o.Logger.Warn("the dnstap collector is not there; messages are lost until it is", "to", t.to(), "error", err)
	}
	t.later()
}

// later waits longer each time, a little at random so that nodes do not come back all at once.
func (t *Tap) later() {
	t.backOff = min(max(2*t.backOff, shortest), longest)
	t.next = time.Now().Add(t.backOff/2 + rand.N(t.backOff/2)) //nolint:gosec // no secret
}

func (t *Tap) to() string { return t.o.Socket + t.o.Address + t.o.File }

func (t *Tap) dial(ctx context.Context) error {
	network, address := "tcp", t.o.Address
	if t.o.Socket != "" {
		network, address = "unix", t.o.Socket
	}
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now().Add(patience)) })
	w, err := framestream.NewWriter(conn, &framestream.WriterOptions{
		ContentTypes: [][]byte{pb.FSContentType}, Bidirectional: true, Timeout: patience,
	})
	stop()
	if err != nil {
		conn.Close()
		return err
	}
	t.use(w, func() { conn.Close() })
	return nil
}

// openFile begins a new file. Two streams do not fit into one, so what is there is kept aside.
func (t *Tap) openFile() error {
	if info, err := os.Stat(t.o.File); err == nil && info.Size() > 0 {
		if err := os.Rename(t.o.File, t.o.File+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f, err := os.OpenFile(t.o.File, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640) //nolint:gosec // the operator's own file names it; log readers are a group
	if err != nil {
		return err
	}
	w, err := framestream.NewWriter(f, &framestream.WriterOptions{ContentTypes: [][]byte{pb.FSContentType}})
	if err != nil {
		_ = f.Close() // nothing was written
		return err
	}
	t.use(w, func() { _ = f.Close() }) // every write was looked at
	return nil
}

func (t *Tap) use(w *framestream.Writer, end func()) {
	t.out, t.close = w, end
	t.connected.Store(true)
}

// empty writes what is in the rings.
func (t *Tap) empty() {
	t.mu.Lock()
	loops := slices.Clip(t.loops)
	t.mu.Unlock()
	for _, l := range loops {
		l.ring.Drain(func(e *entry) {
			t.batch = t.frames(t.batch[:0], e)
			e.tidy()
			for _, frame := range t.batch {
				t.write(frame)
			}
		})
	}
	if t.out != nil && t.pending > 0 {
		if err := t.out.Flush(); err != nil {
			t.lose(err)
			return
		}
		t.written.Add(t.pending)
		t.pending = 0
	}
}

func (t *Tap) write(frame []byte) {
	if t.out == nil {
		t.away.Add(1)
		return
	}
	t.pending++
	if _, err := t.out.WriteFrame(frame); err != nil {
		t.lose(err)
	}
}

// lose gives the collector up for a while. What it had not taken is lost, and perhaps a part of what it had.
func (t *Tap) lose(err error) {
	t.o.Logger.Warn("the dnstap collector takes no more; messages are lost until it does", "to", t.to(), "error", err)
	t.failed.Add(t.pending)
	t.drop()
	t.later()
}

func (t *Tap) drop() {
	t.pending, t.out = 0, nil
	t.connected.Store(false)
	t.close()
}

// finish ends the stream as the format wants it.
func (t *Tap) finish() {
	if t.out == nil {
		return
	}
	if err := t.out.Close(); err != nil {
		t.o.Logger.Warn("the dnstap stream did not end in order", "to", t.to(), "error", err)
	}
	t.drop()
}

var messagesDesc = prometheus.NewDesc("jurymast_dns_dnstap_messages_total",
	"Messages for dnstap: written, dropped (the writer was slower than the questions), away (there was no collector), failed (it took no more).", []string{"what"}, nil)

var unansweredDesc = prometheus.NewDesc("jurymast_dns_dnstap_unanswered_total",
	"Questions dnstap has seen that got no answer, because of rate limits or because a transfer began.", nil, nil)

var connectedDesc = prometheus.NewDesc("jurymast_dns_dnstap_connected", "1 while the dnstap collector or file takes messages.", nil, nil)

// Describe is prometheus.Collector's.
func (t *Tap) Describe(to chan<- *prometheus.Desc) {
	to <- messagesDesc
	to <- unansweredDesc
	to <- connectedDesc
}

// Collect is prometheus.Collector's.
func (t *Tap) Collect(to chan<- prometheus.Metric) {
	dropped, silent := uint64(0), uint64(0)
	t.mu.Lock()
	for _, l := range t.loops {
		dropped += l.lost.Load()
		silent += l.silent.Load()
	}
	t.mu.Unlock()
	for what, n := range map[string]uint64{"written": t.written.Load(), "dropped": dropped, "away": t.away.Load(), "failed": t.failed.Load()} {
		to <- prometheus.MustNewConstMetric(messagesDesc, prometheus.CounterValue, float64(n), what)
	}
	to <- prometheus.MustNewConstMetric(unansweredDesc, prometheus.CounterValue, float64(silent))
	on := 0.0
	if t.connected.Load() {
		on = 1
	}
	to <- prometheus.MustNewConstMetric(connectedDesc, prometheus.GaugeValue, on)
}
