package engine

import "jurymast/internal/health"

// halt says whether this node may answer and send by the decision it knows.
//
//	on_isolation: hold            always, stale while the store is out of reach
//	on_isolation: stop            while the store confirms this node's lease; a node alone always
func (p *Profile) halt() health.Halt {
	if p.stops && p.frozen() {
		return p.unreached()
	}
	return health.HaltNone
}

// unreached tells a node that has lost the store from one that has not found it yet.
func (p *Profile) unreached() health.Halt {
	if p.connected {
		return health.HaltIsolated
	}
	return health.HaltUnconfirmed
}
