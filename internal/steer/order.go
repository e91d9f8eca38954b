package steer

import "jurymast/internal/profile"

// Order appends to buf[:0] the leaves a client may be led to: the picked one, then the other candidates in the order in
// which the routing method prefers them, nested ones expanded in place. Who is out is not among them, and who is down
// only while all are. A profile that answers nothing gives an empty order, a target of last resort stands alone.
func (p *Plan) Order(c *Client, first Pick, buf []int) []int {
	o := orderer{client: c, first: first, out: buf[:0]}
	switch {
	case !first.Answers():
		return o.out
	case first.Leaf >= 0:
		o.out = append(o.out, first.Leaf)
		if p.leaves[first.Leaf].Endpoint < 0 {
			return o.out
		}
	}
	if p.nodes > 1 {
		o.seen = make([]bool, p.nodes)
	}
	o.node(p.root)
	return o.out
}

type orderer struct {
	client *Client
	first  Pick
	seen   []bool // nodes done: a profile nested twice is expanded once; nil: nothing is nested
	out    []int
}

func (o *orderer) node(n *node) {
	if n == nil || n.closed.rule != "" || (n.down() && (n.target >= 0 || n.view.Profile.AllDown.Rule == profile.AllDownNone)) {
		return
	}
	if o.seen == nil {
		from := len(o.out)
		o.out = n.rank(o.client, o.first, o.out)
		o.leavesOf(n, from)
		return
	}
	if o.seen[n.number] {
		return
	}
	o.seen[n.number] = true
	for _, i := range n.rank(o.client, o.first, nil) {
		switch {
		case n.leaf[i] < 0:
			o.node(n.child[i])
		case n.leaf[i] != o.first.Leaf:
			o.out = append(o.out, n.leaf[i])
		}
	}
}

// leavesOf turns the endpoints from out[from] on into leaves, without the one that stands in front already.
func (o *orderer) leavesOf(n *node, from int) {
	to := from
	for _, i := range o.out[from:] {
		if leaf := n.leaf[i]; leaf >= 0 && leaf != o.first.Leaf {
			o.out[to] = leaf
			to++
		}
	}
	o.out = o.out[:to]
}

// rank appends the candidates of one profile for a client, best first.
func (n *node) rank(c *Client, first Pick, buf []int) []int {
	switch n.view.Profile.Routing {
	case profile.Weighted:
		return n.rankWeighted(c, buf)
	case profile.Performance:
		return n.rankPerformance(c, buf)
	case profile.Geographic:
		p, _ := n.geoPath(c)
		return n.rankWalk(p, buf)
	case profile.Subnet:
		p, _ := n.subnetPath(c)
		return n.rankWalk(p, buf)
	case profile.Multivalue:
		return n.rankMultivalue(first, buf)
	case profile.Priority:
	}
	return n.rankPriority(buf)
}
