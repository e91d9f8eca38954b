package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/bench/side"
)

// loadVerb makes this program the client.
const loadVerb = "load"

// loadSockets share the load; with 65536 IDs each, an ID comes again after more than a second at any rate reached here.
const loadSockets = 4

// loadResult is what the client saw. Latencies are in microseconds and count from when a question was due, not from when
// it could be sent: a moment of silence is paid for by every question of that moment.
type loadResult struct {
	Sent     int                `json:"sent"`
	Answers  int                `json:"answers"`
	Lost     int                `json:"lost"`
	Empty    int                `json:"empty"` // NOERROR without a record
	Rcodes   map[string]int     `json:"rcodes"`
	QPS      float64            `json:"qps"`
	Own      float64            `json:"own_us"` // CPU time of the client for each question
	Quantile map[string]float64 `json:"us"`     // p50, p90, p99, p999, max
}

const noerror = "0"

// counts says why a run does not count.
func (r loadResult) counts() error {
	if r.Answers == 0 || r.Lost > 0 || r.Empty > 0 || r.Rcodes[noerror] != r.Answers {
		return fmt.Errorf("%d sent, %d lost, %d without a record, response codes %v", r.Sent, r.Lost, r.Empty, r.Rcodes)
	}
	return nil
}

// asked is a question under way.
type asked struct {
	due   time.Duration // since the begin of the load
	under bool
}

// load runs the client as a process of its own on the client's core. With a rate it is an open loop: questions are sent
// when due, whatever became of others. With rate 0 it keeps a window of questions under way.
func (b *bench) load(l *live, rate float64, seconds int) (r loadResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	c := exec.CommandContext(b.ctx, "taskset", "-c", strconv.Itoa(b.ClientCore), self, loadVerb, //nolint:gosec // ourselves
		"-port", strconv.Itoa(l.port), "-names", strconv.Itoa(l.world.names), "-window", strconv.Itoa(b.Window),
		"-rate", strconv.FormatFloat(rate, 'f', 0, 64), "-seconds", strconv.Itoa(seconds))
	c.WaitDelay = 2 * time.Second
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); err != nil {
		return r, fmt.Errorf("load: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return r, json.Unmarshal(out.Bytes(), &r)
}

func loadMain(args []string) error {
	f := flag.NewFlagSet(loadVerb, flag.ContinueOnError)
	port := f.Int("port", 0, "UDP port on 127.0.0.1")
	names := f.Int("names", 100, "how many names")
	window := f.Int("window", 160, "questions under way at once, without -rate")
	rate := f.Float64("rate", 0, "questions per second; 0: as many as the window allows")
	seconds := f.Int("seconds", 1, "how long")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *port <= 0 || *names <= 0 || *window <= 0 || *rate < 0 || *seconds <= 0 {
		return errors.New("load: -port, -names, -window and -seconds are above 0")
	}
	g := &generator{names: make([][]byte, *names), window: *window, rate: *rate, length: time.Duration(*seconds) * time.Second}
	for at, i := range rand.New(rand.NewPCG(1, 2)).Perm(*names) { //nolint:gosec // the same in every run
		g.names[at] = question(name(i), typeA)
	}
	for i := range g.sockets {
		var err error
		if g.sockets[i], err = newSocket(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: *port}); err != nil {
			return err
		}
	}
	r, err := g.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// tick is the grain of the open loop: what falls due within one is sent at its begin. The client sleeps in between: one
// that spins starves the kernel's own work on its core, and then measures that.
const tick = 100 * time.Microsecond

// catchUp is how much faster than its rate a late client is: at a share of 0.7 less than the server can do.
const catchUp = 1.25

// generator is the client: one thread that never allocates while it measures.
type generator struct {
	names   [][]byte
	sockets [loadSockets]*socket
	window  int
	rate    float64
	length  time.Duration

	began                    time.Time
	turn                     time.Duration // number of the tick that sends next
	sent, under, lost, empty int
	rcodes                   [16]int
	latency                  side.Histogram
}

// patience is how long after the end answers are waited for.
const patience = time.Second

func (g *generator) run() (loadResult, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // ns; without it sleeps end up to 50 us late
	p := newPoller(g.sockets[:])
	g.began = time.Now()
	end := time.Duration(0)
	for {
		now := time.Since(g.began)
		wait := patience
		if now < g.length || float64(g.sent) < math.Floor(g.rate*g.length.Seconds()) { // the open loop skips nothing at its end
			if err := g.send(now); err != nil {
				return loadResult{}, err
			}
			end = now
			if g.rate > 0 {
				wait = max(0, now.Truncate(tick)+tick-time.Since(g.began))
			}
		} else if g.under == 0 || now > g.length+patience {
			break
		}
		if err := p.wait(wait); err != nil {
			return loadResult{}, err
		}
		for i, s := range g.sockets {
			if !p.ready(i) {
				continue
			}
			if err := g.take(s); err != nil {
				return loadResult{}, err
			}
		}
	}
	return g.result(end), nil
}

// send sends what is due, batch by batch on one socket after the other.
func (g *generator) send(now time.Duration) error {
	due := g.window - g.under
	if g.rate > 0 {
		due = g.rated(now)
	} else if due < batch && g.under > 0 {
		return nil // a window is filled by whole batches
	}
	for due > 0 {
		s := g.sockets[g.sent/batch%loadSockets]
		n := min(due, batch-g.sent%batch)
		for range n {
			g.put(s, g.due(now))
		}
		if err := s.flush(); err != nil {
			return err
		}
		due -= n
	}
	return nil
}

// rated is how many questions a tick sends. A client that was late itself catches up so slowly that no server is flooded
// by it, and each question still counts from when it was due.
func (g *generator) rated(now time.Duration) int {
	if now/tick < g.turn {
		return 0
	}
	g.turn = now/tick + 1
	due := int((min(now, g.length-1).Truncate(tick)+tick).Seconds()*g.rate) - g.sent
	return min(due, int(catchUp*g.rate*tick.Seconds())+1)
}

// due is when the next question is due: at the begin of its tick, however late it is now; at once in a window.
func (g *generator) due(now time.Duration) time.Duration {
	if g.rate == 0 {
		return now
	}
	return time.Duration(float64(g.sent) / g.rate * float64(time.Second)).Truncate(tick)
}

func (g *generator) put(s *socket, due time.Duration) {
	a := &s.asked[s.next]
	if a.under { // no answer for a whole round of IDs
		g.lost++
		g.under--
	}
	*a = asked{due: due, under: true}
	s.put(g.names[g.sent%len(g.names)], s.next)
	s.next++
	g.sent++
	g.under++
}

// take reads what has arrived at one socket.
func (g *generator) take(s *socket) error {
	for n := batch; n == batch; {
		var err error
		if n, err = s.receive(); err != nil {
			return err
		}
		now := time.Since(g.began)
		for i := range n {
			g.answer(s, s.packet(i), now)
		}
	}
	return nil
}

func (g *generator) answer(s *socket, p []byte, now time.Duration) {
	if len(p) < 12 || p[2]&0x80 == 0 {
		return // no answer
	}
	a := &s.asked[uint16(p[0])<<8|uint16(p[1])]
	if !a.under {
		return // counted as lost before, or answered twice
	}
	a.under = false
	g.under--
	g.latency.Add(now - a.due)
	g.rcodes[p[3]&15]++
	if p[3]&15 == 0 && p[6]|p[7] == 0 {
		g.empty++
	}
}

func (g *generator) result(length time.Duration) loadResult {
	r := loadResult{
		Sent: g.sent, Lost: g.lost + g.under, Empty: g.empty, Rcodes: map[string]int{}, Quantile: map[string]float64{},
		Answers: int(g.latency.N), QPS: float64(g.latency.N) / length.Seconds(), //nolint:gosec // a count
	}
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) == nil && g.sent > 0 {
		r.Own = microseconds(time.Duration(u.Utime.Nano()+u.Stime.Nano()), g.sent)
	}
	for code, n := range g.rcodes {
		if n > 0 {
			r.Rcodes[strconv.Itoa(code)] = n
		}
	}
	for key, q := range map[string]float64{"p50": .5, "p90": .9, "p99": .99, "p999": .999, "max": 1} {
		r.Quantile[key] = float64(g.latency.Quantile(q)) / float64(time.Microsecond)
	}
	return r
}
