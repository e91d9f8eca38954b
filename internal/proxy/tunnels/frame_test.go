package tunnels

import (
	"math/rand/v2"
	"testing"
)

// TestFollower: wherever the stream is torn, boundaries are where frames were put together.
func TestFollower(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	var stream []byte
	ends := map[int]bool{0: true}
	for range 300 {
		size := []int{0, 1, 125, 126, 300, 65535, 65536}[dice.IntN(7)]
		mask := byte(dice.IntN(2)) << 7
		head := []byte{0x82, mask | byte(size)}
		switch {
		case size > 65535:
			head = []byte{0x82, mask | 127, 0, 0, 0, 0, 0, byte(size >> 16), byte(size >> 8), byte(size)}
		case size > 125:
			head = []byte{0x02, mask | 126, byte(size >> 8), byte(size)}
		}
		if mask != 0 {
			head = append(head, 1, 2, 3, 4)
		}
		stream = append(append(stream, head...), make([]byte, size)...)
		ends[len(stream)] = true
	}
	for range 20 {
		f := follower{}
		for at := 0; at < len(stream); {
			n := min(1+dice.IntN([]int{2, 20, 5000, 100_000}[dice.IntN(4)]), len(stream)-at)
			if dice.IntN(2) == 0 && !f.boundary() {
				n = f.finish(stream[at : at+n])
			} else {
				f.skip(stream[at : at+n])
			}
			if at += n; f.boundary() != ends[at] {
				t.Fatalf("at %d the boundary is %v", at, f.boundary())
			}
		}
		if f.lost || f.closed {
			t.Fatal("lost or closed")
		}
	}
	f := follower{}
	f.skip([]byte{0x88, 2, 3})
	if f.closed {
		t.Error("closed before the frame has passed")
	}
	if f.skip([]byte{232}); !f.closed {
		t.Error("the close frame was not seen")
	}
	f = follower{}
	if f.skip([]byte("text, no frames")); !f.lost {
		t.Error("a reserved opcode was believed")
	}
	f = follower{}
	if f.skip([]byte{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 9, 9}); !f.lost || f.boundary() {
		t.Error("an impossible length was believed")
	}
}
