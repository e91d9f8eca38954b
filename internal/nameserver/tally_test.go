package nameserver_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

// crowdOf are n profiles NAMEi with a host name and an address each.
func crowdOf(name string, n int) (ps []*profile.Profile, vs []*health.View) {
	for i := range n {
		p := fmt.Sprint(name, i)
		ps = append(ps, service(p, names(p+".dr.example"), addrs("192.0.2.1")))
	}
	ps = profiles(ps...)
	for _, p := range ps {
		vs = append(vs, view(p, "u", nil))
	}
	return ps, vs
}

func askFor(name string) []byte {
	return packet(plainHead, "name:"+name+".dr.example", "0001 0001", "")
}

// askOver asks one question over a stream and takes the answer.
func askOver(conn net.Conn, pkt []byte) error {
	if _, err := conn.Write(append([]byte{0, byte(len(pkt))}, pkt...)); err != nil {
		return err
	}
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, int(head[0])<<8|int(head[1])))
	return err
}

// talkers runs what n clients say on a connection each, at the same time, and waits until the server has left them.
func talkers(t testing.TB, f *fixture, n int, say func(i int, conn net.Conn) error) {
	t.Helper()
	serve := f.srv.Connector()
	var said, all sync.WaitGroup
	said.Add(n)
	for i := range n {
		client, server := net.Pipe()
		all.Go(func() { serve(server) })
		all.Go(func() {
			err := say(i, client)
			said.Done()
			said.Wait() // all are open at once
			_ = client.Close()
			if err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	all.Wait()
}

func heapNow() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

var manyStreams = nameserver.Options{TCP: nameserver.TCP{Connections: 1000, PerPrefix: 1000}}

// What was counted on connections does not stay once for each of them, however many profiles they asked for.
func TestClosedConnectionsKeepNoMemory(t *testing.T) {
	const n, conns = 5120, 100
	f := create(manyStreams)
	ps, vs := crowdOf("p", n)
	f.publish(t, 1, []*profile.Zone{testZone("")}, ps, vs)
	loop := f.srv.RawLoop()
	for i := range n {
		loop(askFor(fmt.Sprint("p", i)), t0Addr)
	}
	before := heapNow()
	talkers(t, f, conns, func(_ int, conn net.Conn) error {
		for i := 0; i < n; i += 512 { // a question in each page
			if err := askOver(conn, askFor(fmt.Sprint("p", i))); err != nil {
				return err
			}
		}
		return nil
	})
	if each := (heapNow() - before) / conns; each > 8<<10 {
		t.Errorf("%d bytes stay of each connection", each)
	}
	sum := 0.0
	for _, v := range f.answers(t) {
		sum += v
	}
	if want := float64(n + conns*n/512); sum != want {
		t.Errorf("%v answers counted, want %v", sum, want)
	}
	runtime.KeepAlive(loop)
}

// Connections that count at once, in new pages too, while somebody looks, lose nothing and count nothing twice.
func TestConnectionsCountTogether(t *testing.T) {
	const n, conns = 3000, 8
	f := create(manyStreams)
	ps, vs := crowdOf("p", n)
	f.publish(t, 1, []*profile.Zone{testZone("")}, ps, vs)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for last := 0.0; ; {
			sum := 0.0
			for _, v := range f.answers(t) {
				sum += v
			}
			if sum < last {
				t.Errorf("%v answers after %v", sum, last)
			}
			last = sum
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	talkers(t, f, conns, func(_ int, conn net.Conn) error {
		for i := range n / 10 {
			if err := askOver(conn, askFor(fmt.Sprint("p", i*10))); err != nil {
				return err
			}
		}
		return nil
	})
	close(stop)
	<-done
	answers := f.answers(t)
	if len(answers) != n/10 {
		t.Errorf("%d series, want %d", len(answers), n/10)
	}
	for name, v := range answers {
		if v != conns {
			t.Fatalf("%s: %v, want %d", name, v, conns)
		}
	}
}

// answers are the counters of answers, by their labels.
func (f *fixture) answers(t testing.TB) map[string]float64 {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Error(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "jurymast_dns_answers_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			out[fmt.Sprint(m.GetLabel())] = m.GetCounter().GetValue()
		}
	}
	return out
}

// A number that is used again costs a look at its own counters, not at all there are, and begins at 0: the driver's
// table asks for one number after the other while documents wait to be published.
func TestFreedNumbersAreCheap(t *testing.T) {
	const n, asked = 10_000, 200
	f := create(nameserver.Options{})
	loop := f.srv.RawLoop()
	bytes := func(name string, m int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range m {
			loop(askFor(fmt.Sprint(name, i)), t0Addr)
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / uint64(m)
	}
	ps, vs := crowdOf("a", n)
	f.publish(t, 1, []*profile.Zone{testZone("")}, ps, vs)
	bytes("a", n)
	ps, vs = crowdOf("b", n)
	f.publish(t, 2, []*profile.Zone{testZone("")}, ps, vs)
	for range 2 {
		f.answers(t) // frees the numbers
	}
	if each := bytes("b", asked); each > 8<<10 {
		t.Errorf("%d bytes were allocated for the first answer of a profile, with %d numbers freed", each, n)
	}
	answers := f.answers(t)
	for name, v := range answers {
		if v != 1 {
			t.Fatalf("%s: %v, want 1", name, v)
		}
	}
	if len(answers) != asked {
		t.Errorf("%d series, want %d", len(answers), asked)
	}
}
