package snapshot

// vector is a persistent array of two levels: a change copies the list of chunks and the chunks it touches, and shares
// the rest with what was before. Two levels, because a reader pays for each with a miss of the cache, and a change to
// one of 100,000 still copies only some kilobytes.
type vector[T any] struct {
	chunks []*[chunkSize]T
	size   int
}

const (
	chunkBits = 8
	chunkSize = 1 << chunkBits
)

// vectorOf builds a vector of these values.
func vectorOf[T any](all []T) vector[T] {
	v := vector[T]{size: len(all)}
	for len(all) > 0 {
		c := new([chunkSize]T)
		all = all[copy(c[:], all):]
		v.chunks = append(v.chunks, c)
	}
	return v
}

func (v vector[T]) at(i int) T { return v.chunks[i>>chunkBits][i&(chunkSize-1)] }

// edit collects changes to a vector; the vector itself stays as it is.
type edit[T any] struct {
	vector[T]

	owned map[int]bool // chunks that are copies of our own; nil: nothing is
}

func (e *edit[T]) set(i int, t T) {
	if e.owned == nil {
		e.owned = map[int]bool{}
		e.chunks = append([]*[chunkSize]T(nil), e.chunks...)
	}
	n := i >> chunkBits
	if !e.owned[n] {
		c := *e.chunks[n]
		e.chunks[n], e.owned[n] = &c, true
	}
	e.chunks[n][i&(chunkSize-1)] = t
}
