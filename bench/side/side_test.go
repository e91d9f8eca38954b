package side

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// TestHistogram compares with the sorted list itself.
func TestHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(rng.Int64N(1 << rng.IntN(36)))
		h.Add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{.01, .5, .9, .99, .999, 1} {
		want := all[max(0, int(q*float64(len(all)))-1)]
		got := h.Quantile(q)
		if got < want || float64(got) > float64(want)*(1+2./steps)+1 {
			t.Errorf("quantile %v: %v, want %v and at most %d-th more", q, got, want, steps/2)
		}
	}
	if (&Histogram{}).Quantile(.5) != 0 {
		t.Error("an empty histogram has a median")
	}
}

func TestBuckets(t *testing.T) {
	for v := uint64(0); v < 1<<40; v += 1 + v/97 {
		b := bucket(v)
		if up := upper(b); up < v || bucket(up) != b || bucket(up+1) != b+1 {
			t.Fatalf("%d is in bucket %d up to %d", v, b, up)
		}
	}
}

// TestClocks: the CPU clock of a process and its family grow with work.
func TestClocks(t *testing.T) {
	if !slices.Contains(Family(os.Getppid()), os.Getpid()) {
		t.Error("we are no child of our parent")
	}
	pid := os.Getpid()
	before, err := CPU(pid)
	if err != nil {
		t.Fatal(err)
	}
	for x, end := 1, time.Now().Add(20*time.Millisecond); time.Now().Before(end); x++ {
		_ = x * x
	}
	after, err := CPU(pid)
	if err != nil || after-before < time.Millisecond {
		t.Errorf("20 ms of work cost %v, %v", after-before, err)
	}
	if Memory(pid) <= 0 {
		t.Error("no memory")
	}
	if Ended(pid) {
		t.Error("we are a zombie")
	}
}

func TestMedians(t *testing.T) {
	if got := Median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median %v", got)
	}
	r := Runs{{"a us": 1, "b us": 8}, nil, {"a us": 3}}
	if v, n := r.Medians("a "); n != 2 || len(v) != 1 || v["us"] != 2 {
		t.Errorf("%v of %d runs", v, n)
	}
	if got := Ratios(r, Runs{{"us": 2}, {"us": 1}, {"us": 0}}.To("us"), "a us"); !slices.Equal(got, []float64{.5}) {
		t.Errorf("ratios %v", got)
	}
}
