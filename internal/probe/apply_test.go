package probe

import (
	"context"
	"fmt"
	"testing"
	"time"

	"jurymast/internal/health"
)

// BenchmarkApply is what a change of one document costs when a hundred thousand checks stay as they are.
func BenchmarkApply(b *testing.B) {
	const n = 100000
	set := make([]Check, n)
	for i := range set {
		set[i] = checkFor(fmt.Sprintf("host%d.example", i), time.Hour, time.Second)
		set[i].Shared = true
		set[i].key, set[i].hashed = set[i].Spec.Key(), true
	}
	s, err := New(Options{
		Report: func(Report) {},
		Run:    func(context.Context, Spec) Result { return Result{Obs: health.Observation{OK: true}} },
	})
	if err != nil {
		b.Fatal(err)
	}
	s.Apply(set)
	for b.Loop() {
		s.Apply(set)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkKey is what identity costs when a document is taken over.
func BenchmarkKey(b *testing.B) {
	s := checkFor("host.example", time.Hour, time.Second).Spec
	for b.Loop() {
		_ = s.Key()
	}
}
