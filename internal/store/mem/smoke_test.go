package mem_test

import (
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/store"
	"jurymast/internal/store/mem"
)

func TestLeaseInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Options{})
		defer s.Close()
		c := s.Node("a")
		w := c.Watch(t.Context(), "/n/", 0)
		l, err := c.Grant(t.Context(), 3*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := c.Commit(t.Context(), []store.Cond{{Key: "/n/a"}}, []store.Op{store.PutLeased("/n/a", nil, l.ID())}); !ok || err != nil {
			t.Fatal(ok, err)
		}
		start := time.Now()
		if b := <-w; len(b.Events) != 1 || b.Events[0].Deleted {
			t.Fatal(b)
		}
		if b := <-w; len(b.Events) != 1 || !b.Events[0].Deleted || time.Since(start) != 3*time.Second {
			t.Fatal(b, time.Since(start))
		}
	})
}
