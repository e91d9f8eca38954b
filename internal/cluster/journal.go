package cluster

import (
	"slices"

	"jurymast/internal/health"
)

// Journal returns the newest entries, oldest first, at most limit (0: all at hand) that match.
func (c *Cluster) Journal(limit int, match func(*health.Entry) bool) []health.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []health.Entry
	for i := len(c.st.journal) - 1; i >= 0 && (limit == 0 || len(out) < limit); i-- {
		if match == nil || match(&c.st.journal[i]) {
			out = append(out, c.st.journal[i])
		}
	}
	slices.Reverse(out)
	return out
}
