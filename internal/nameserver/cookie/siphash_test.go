package cookie

import "testing"

// The reference vectors of the paper's authors: key 00 01 .. 0f, input 00 01 .. of each length.
func TestSipHash(t *testing.T) {
	var key Secret
	for i := range key {
		key[i] = byte(i)
	}
	var in []byte
	for n, want := range map[int]uint64{
		0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 7: 0xab0200f58b01d137, 8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5,
	} {
		in = in[:0]
		for i := range n {
			in = append(in, byte(i))
		}
		if got := siphash(&key, in); got != want {
			t.Errorf("%d bytes: %#x, want %#x", n, got, want)
		}
	}
}
