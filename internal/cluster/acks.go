package cluster

import (
	"encoding/json"
	"strings"

	"jurymast/internal/store"
)

// ackRecord says that a node sends nothing by a decision older than Epoch any more. It lives under the node's lease.
type ackRecord struct {
	Epoch uint64 `json:"epoch"`
}

// Acknowledge queues this node's word that it has stopped sending by older decisions. It is written when what was allowed
// before the call is sent. The word stays true for ever, so it may be written late and twice.
func (c *Cluster) Acknowledge(profile string, epoch uint64) {
	c.out.put(func(q *pending) { q.acks[profile] = epoch })
}

// acknowledgements makes writes of what waits.
func (c *Cluster) acknowledgements(q *pending, lease store.LeaseID) []outgoing {
	out := make([]outgoing, 0, len(q.acks))
	for profile, epoch := range q.acks {
		val, _ := json.Marshal(ackRecord{Epoch: epoch}) //nolint:errchkjson // plain struct
		out = append(out, outgoing{
			store.PutLeased(keyAck(profile, c.o.Node.Name), val, lease),
			func(q *pending) {
				if _, newer := q.acks[profile]; !newer {
					q.acks[profile] = epoch
				}
			},
		})
	}
	return out
}

// applyAck tells an acknowledgement. That one is gone is not told: its node is gone as well, and a new session begins
// without any.
func applyAck(e *store.Event, emit func(Event)) {
	tail, _ := rest(e.Key, inAcks)
	profile, node, ok := strings.Cut(tail, "/")
	var a ackRecord
	if ok && !e.Deleted && json.Unmarshal(e.Value, &a) == nil {
		emit(Acknowledged{Profile: profile, Node: node, Epoch: a.Epoch})
	}
}
