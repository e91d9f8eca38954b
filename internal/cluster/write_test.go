package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"jurymast/internal/cluster"
	"jurymast/internal/health"
	"jurymast/internal/store"
	"jurymast/internal/store/mem"
)

// count tells how many events of one type a member was told.
func count[E cluster.Event](m *member) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, e := range m.told {
		if _, ok := e.(E); ok {
			n++
		}
	}
	return n
}

// A failover of everything at once must not wait for one timeout after the other when the store stalls.
func TestStalledStoreFailsTheWholeBacklogAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		a.client.SetWriteStall(true)
		for i := range 1000 {
			a.WriteDecision(fmt.Sprintf("p%d", i), health.Decision{Active: "us", Epoch: 2}, 0)
		}
		time.Sleep(2100 * time.Millisecond) // one write timeout
		if n := count[cluster.DecisionFailed](a); n != 1000 {
			t.Fatalf("%d of 1000 decisions have failed after one timeout", n)
		}
		if a.Unwritten() == "" {
			t.Fatal("nobody is told that decisions are unwritten")
		}
		a.client.SetWriteStall(false)
		a.WriteDecision("p7", health.Decision{Active: "us", Epoch: 2}, 0)
		time.Sleep(time.Second)
		if d, ok := last[cluster.Decision](a); !ok || d.Profile != "p7" {
			t.Fatal("no decision is written after the stall")
		}
	})
}

// A decision that loses is not the store's failure: the others are written.
func TestLostDecisionFailsAlone(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		for i := range 100 {
			a.WriteDecision(fmt.Sprintf("p%d", i), health.Decision{Active: "us", Epoch: 1}, int64(i%2)) // 1: a revision it never had
		}
		time.Sleep(time.Second)
		if lost, won := count[cluster.DecisionFailed](a), count[cluster.Decision](a); lost != 50 || won < 50 {
			t.Fatalf("%d lost, %d written, want 50 of each", lost, won)
		}
	})
}

func TestVotesDoNotWaitBehindDecisions(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		b := join(st, "b", "2")
		time.Sleep(time.Second)
		a.client.SetDelay(func() time.Duration { return 100 * time.Millisecond })
		for i := range 400 {
			a.WriteDecision(fmt.Sprintf("p%d", i), health.Decision{Active: "us", Epoch: 1}, 0)
		}
		time.Sleep(time.Millisecond)
		a.PublishVotes("p", map[string]health.Vote{"eu": {Opinion: health.Down}})
		time.Sleep(time.Second)
		if _, ok := last[cluster.Votes](b); !ok {
			t.Fatal("a vote waits behind 400 decisions")
		}
	})
}

func TestBatchOverTheByteLimitIsWritten(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a, b := join(st, "a", "1"), join(st, "b", "2")
		time.Sleep(time.Second)
		a.client.SetFull(true)
		for i := range 130 {
			v := map[string]health.Vote{}
			for j := range 200 {
				v[fmt.Sprintf("endpoint-%03d", j)] = health.Vote{Opinion: health.Up, Since: time.Now(), Reason: "status 200"}
			}
			a.PublishVotes(fmt.Sprintf("p%d", i), v)
		}
		a.client.SetFull(false)
		time.Sleep(time.Second)
		if n := count[cluster.Votes](b); n != 130 {
			t.Fatalf("the other node has heard %d votes, want 130", n)
		}
	})
}

// What can never be written is dropped, and holds nothing else up.
func TestWriteThatIsTooLargeIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a, b := join(st, "a", "1"), join(st, "b", "2")
		time.Sleep(time.Second)
		a.client.SetFull(true)
		a.PublishVotes("big", map[string]health.Vote{"eu": {Opinion: health.Down, Reason: strings.Repeat("x", store.MaxBytes)}})
		a.PublishVotes("small", map[string]health.Vote{"eu": {Opinion: health.Down}})
		for i := range 300 {
			a.Note(health.Entry{At: time.Now(), Node: "a", Kind: health.EntryAlarm, Reason: fmt.Sprint(i)})
		}
		a.client.SetFull(false)
		time.Sleep(5 * time.Second)
		if v, ok := last[cluster.Votes](b); !ok || v.Profile != "small" {
			t.Fatalf("the other node has heard %+v", v)
		}
		if n := len(b.Journal(0, nil)); n != 300 {
			t.Fatalf("the journal has %d entries, want 300", n)
		}
		if why := a.Unwritten(); why != "" {
			t.Fatalf("still said to be unwritten: %s", why)
		}
	})
}

// A write whose reply was lost is done again, and shows once.
func TestJournalIsNotWrittenTwice(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		a.client.SetFull(true)
		for i := range 300 {
			a.Note(health.Entry{At: time.Now(), Node: "a", Kind: health.EntryAlarm, Reason: fmt.Sprint(i)})
		}
		a.client.LoseReply(2)
		a.client.SetFull(false)
		time.Sleep(5 * time.Second)
		got := a.Journal(0, nil)
		if len(got) != 300 || got[0].Reason != "0" || got[299].Reason != "299" {
			t.Fatalf("the journal has %d entries, want 300 in order", len(got))
		}
	})
}
