package snapshot

// vector is a persistent array: set returns a new vector that shares all but one path with the old one.
type vector[T any] struct {
	root  *node[T]
	shift uint // bits of the index above the lowest level
	size  int
}

const (
	fanBits = 5
	fan     = 1 << fanBits
)

type node[T any] struct {
	leaf [fan]T
	kids *[fan]*node[T] // nil on the lowest level
}

// newVector builds a vector of n zero values.
func newVector[T any](n int) vector[T] {
	v := vector[T]{size: n, root: &node[T]{}}
	for c := fan; c < n; c <<= fanBits {
		v.shift += fanBits
		v.root = &node[T]{kids: &[fan]*node[T]{v.root}}
	}
	return v
}

func (v vector[T]) at(i int) (t T) {
	n := v.root
	for s := v.shift; s > 0; s -= fanBits {
		if n = n.kids[i>>s&(fan-1)]; n == nil {
			return t
		}
	}
	return n.leaf[i&(fan-1)]
}

func (v vector[T]) set(i int, t T) vector[T] {
	v.root = v.root.with(i, v.shift, t)
	return v
}

func (n *node[T]) with(i int, shift uint, t T) *node[T] {
	c := &node[T]{}
	if n != nil {
		*c = *n
	}
	if shift == 0 {
		c.leaf[i&(fan-1)] = t
		return c
	}
	kids := [fan]*node[T]{}
	if c.kids != nil {
		kids = *c.kids
	}
	slot := i >> shift & (fan - 1)
	kids[slot] = kids[slot].with(i, shift-fanBits, t)
	c.kids = &kids
	return c
}

// vectorOf builds a vector of these values.
func vectorOf[T any](all []T) vector[T] {
	v := newVector[T](len(all))
	if len(all) > 0 {
		v.root = filled(all, v.shift)
	}
	return v
}

func filled[T any](all []T, shift uint) *node[T] {
	n := &node[T]{}
	if shift == 0 {
		copy(n.leaf[:], all)
		return n
	}
	n.kids = &[fan]*node[T]{}
	each := 1 << shift
	for i := 0; len(all) > 0; i++ {
		k := min(each, len(all))
		n.kids[i] = filled(all[:k], shift-fanBits)
		all = all[k:]
	}
	return n
}
