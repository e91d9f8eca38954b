package probe

import (
	"testing"
	"testing/synctest"
	"time"
)

// Putting and dropping one check touches no other: their schedules go on as they were.
func TestPutAndDropOneCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		defer w.close()
		a, b := checkFor("a", 10*time.Second, 9*time.Second), checkFor("b", 10*time.Second, 9*time.Second)
		w.s.Apply([]Check{a})
		time.Sleep(time.Second)
		w.s.Put(b)
		time.Sleep(time.Millisecond)
		if n := len(w.startsOf("b")); n != 1 {
			t.Fatalf("a check that was put was probed %d times, want once and at once", n)
		}
		w.s.Drop(b.Profile, b.Endpoint, b.Name)
		w.s.Drop("nobody", "knows", "this")
		time.Sleep(time.Minute)
		if n := len(w.startsOf("b")); n != 1 {
			t.Errorf("a check that was dropped was probed %d times more", n-1)
		}
		if n := len(w.startsOf("a")); n < 6 || n > 8 {
			t.Errorf("the other check was probed %d times in a minute at every ten seconds", n)
		}
		w.s.Put(b)
		w.s.Put(b) // unchanged: nothing happens
		time.Sleep(time.Millisecond)
		if n := len(w.startsOf("b")); n != 2 {
			t.Errorf("put again it was probed %d times, want once more", n)
		}
	})
}
