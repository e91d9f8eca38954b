package steer

import (
	"math"
	"net/netip"
	"strings"
)

// Clients are told apart by network, not by address: whoever changes the address inside one keeps the answer.
const (
	networkBits4 = 24
	networkBits6 = 56
)

// network is a number for the client's /24 or /56, each network another one, and how many bits of the address it took.
// Without an address it is 0 and 0.
func network(a netip.Addr) (key uint64, scope uint8) {
	switch a = a.Unmap(); {
	case a.Is4():
		b := a.As4()
		return 4<<56 | uint64(b[0])<<16 | uint64(b[1])<<8 | uint64(b[2]), networkBits4
	case a.Is6():
		b := a.As16()
		for _, octet := range b[:7] {
			key = key<<8 | uint64(octet)
		}
		return 6<<56 | key, networkBits6
	}
	return 0, 0
}

// seedOf is the FNV-1a hash of a name; names compare without case.
func seedOf(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(lower(name[i]))) * 1099511628211
	}
	return mix(h)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// mix is the finalizer of splitmix64: a bijection in which every bit depends on every other.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// distance is how far an endpoint is from a client's network in weighted rendezvous hashing: the nearest one wins with
// a chance of its share of the weights, and taking one away moves only its own clients. The distances are independent
// and exponentially distributed with rate weight.
func distance(key, seed uint64, weight float64) float64 {
	u := (float64(mix(mix(key)^seed)>>11) + 0.5) / (1 << 53) // inside (0, 1)
	return -math.Log(u) / weight
}

func compareFloats(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// maxListed bounds what one step of a trail lists.
const maxListed = 20

// listed joins at most maxListed words.
func listed(words []string) string {
	if len(words) > maxListed {
		words = append(words[:maxListed:maxListed], "and more")
	}
	return strings.Join(words, ", ")
}
