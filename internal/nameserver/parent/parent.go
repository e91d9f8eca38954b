// Package parent asks the name servers of a zone's parent, each of them directly, which DS they have. It believes only
// authoritative answers, asks a bounded number of servers within a bounded time, and never judges what the DS mean: that
// is the business of package signing.
//
//	zone --resolvers: NS of the name above, and above that--> parent's servers --resolvers: A, AAAA--> addresses
//	     --DS?, to each--> all the same, or not, or silence
package parent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/question"
	"jurymast/internal/signing"
)

const (
	lookLimit  = 20 * time.Second // for all of it
	patience   = 2 * time.Second  // for one packet; each server gets two
	maxServers = 16               // names of the parent's servers
	maxEach    = 4                // addresses of one of them
	maxAtOnce  = 8
	maxUp      = 10 // names above the zone
	maxDS      = 32 // records in one set
)

// Client asks. Resolvers is called for every look.
type Client struct {
	Resolvers func() []netip.AddrPort
}

// server is one name server of the parent, by all its addresses.
type server struct {
	name  string
	addrs []netip.AddrPort
}

// Ask asks every server of the parent; servers, when there are some, are asked in place of those that resolvers know. The
// times in the answer are the caller's to set.
func (c *Client) Ask(ctx context.Context, zone string, servers []netip.AddrPort) signing.Parent {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	var list []server
	for _, addr := range servers {
		list = append(list, server{addr.String(), []netip.AddrPort{addr}})
	}
	if len(list) == 0 {
		var err error
		if list, err = c.find(ctx, dns.Fqdn(zone)); err != nil {
			return signing.Parent{Trouble: "the parent's servers are not found: " + err.Error()}
		}
	}
	return askAll(ctx, dns.Fqdn(zone), list)
}

// find looks for the zone that is cut nearest above, by its NS records.
func (c *Client) find(ctx context.Context, zone string) ([]server, error) {
	name := zone
	for range maxUp {
		if name == "." {
			return nil, errors.New("resolvers know no zone above it; name the parent's servers in dnssec.parents")
		}
		_, rest, _ := strings.Cut(name, ".")
		if name = rest; name == "" {
			name = "."
		}
		m, err := c.resolve(ctx, name, dns.TypeNS)
		if err != nil {
			return nil, err
		}
		var hosts []string
		for _, rr := range m.Answer {
			if ns, ok := rr.(*dns.NS); ok && strings.EqualFold(ns.Hdr.Name, name) && len(hosts) < maxServers {
				hosts = append(hosts, strings.ToLower(ns.Ns))
			}
		}
		if len(hosts) > 0 {
			slices.Sort(hosts)
			return c.addresses(ctx, hosts), nil
		}
	}
	return nil, fmt.Errorf("none of %d names above has NS records", maxUp)
}

func (c *Client) addresses(ctx context.Context, hosts []string) []server {
	out := make([]server, len(hosts))
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxAtOnce)
	for i, host := range hosts {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			out[i] = server{name: host}
			for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
				m, err := c.resolve(ctx, host, typ)
				if err != nil {
					continue
				}
				for _, rr := range m.Answer {
					if addr, ok := address(rr); ok && len(out[i].addrs) < maxEach {
						out[i].addrs = append(out[i].addrs, netip.AddrPortFrom(addr, 53))
					}
				}
			}
		})
	}
	wg.Wait()
	return out
}

func address(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		addr, ok := netip.AddrFromSlice(rr.A)
		return addr.Unmap(), ok
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA)
	}
	return netip.Addr{}, false
}

// resolve asks resolvers until one knows: that there is nothing is an answer, too.
func (c *Client) resolve(ctx context.Context, name string, typ uint16) (*dns.Msg, error) {
	err := errors.New("there is no resolver; name some in node.nameserver.resolvers, or the parent's servers in dnssec.parents")
	for _, at := range c.Resolvers() {
		var m *dns.Msg
		if m, err = exchange(ctx, at, name, typ, true); err == nil {
			if m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError {
				return m, nil
			}
			err = fmt.Errorf("resolver %s: %s for %s", at, dns.RcodeToString[m.Rcode], name)
		}
	}
	return nil, err
}

// exchange is one question, asked twice over UDP, and over TCP if the answer does not fit.
func exchange(ctx context.Context, at netip.AddrPort, name string, typ uint16, recurse bool) (*dns.Msg, error) {
	q := question.New(name, typ)
	q.RecursionDesired = recurse
	a, err := question.Ask(ctx, at, q, question.Way{Patience: patience, Tries: 2})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return a.Msg, nil
}

// said is what one server says.
type said struct {
	ds  []signing.DS
	ttl time.Duration
	err error
}

// askAll asks every address of every server.
func askAll(ctx context.Context, zone string, list []server) signing.Parent {
	answers := make([][]said, len(list))
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxAtOnce)
	for i := range list {
		answers[i] = make([]said, len(list[i].addrs))
		for j, at := range list[i].addrs {
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				answers[i][j] = askOne(ctx, zone, at)
			})
		}
	}
	wg.Wait()
	return merge(list, answers)
}

func askOne(ctx context.Context, zone string, at netip.AddrPort) (out said) {
	m, err := exchange(ctx, at, zone, dns.TypeDS, false)
	switch {
	case err != nil:
		return said{err: err}
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return said{err: fmt.Errorf("%s: %s", at, dns.RcodeToString[m.Rcode])}
	case !m.Authoritative:
		return said{err: fmt.Errorf("%s: it is not authoritative for the parent", at)}
	}
	for _, rr := range m.Answer {
		ds, ok := rr.(*dns.DS)
		if !ok || !strings.EqualFold(ds.Hdr.Name, zone) || len(out.ds) == maxDS {
			continue
		}
		out.ds = append(out.ds, signing.DS{Tag: ds.KeyTag, Algorithm: ds.Algorithm, Type: ds.DigestType, Digest: strings.ToUpper(ds.Digest)})
		out.ttl = max(out.ttl, time.Duration(ds.Hdr.Ttl)*time.Second)
	}
	slices.SortFunc(out.ds, compare)
	return out
}

func compare(a, b signing.DS) int { return strings.Compare(a.String(), b.String()) }

// merge is what all say together. An address that is silent is passed over when the same server answers at another one.
func merge(list []server, answers [][]said) signing.Parent {
	out := signing.Parent{Servers: len(list), All: len(list) > 0}
	var first *said
	for i := range list {
		heard := false
		trouble := "it has no address"
		for j := range answers[i] {
			a := &answers[i][j]
			if a.err != nil {
				trouble = a.err.Error()
				continue
			}
			heard = true
			if first == nil {
				first = a
				out.Common = slices.Clone(a.ds)
			} else if !slices.Equal(first.ds, a.ds) {
				out.All, out.Trouble = false, fmt.Sprintf("%s has other DS than %s", list[i].name, list[0].name)
			}
			out.Common = slices.DeleteFunc(out.Common, func(d signing.DS) bool { return !slices.Contains(a.ds, d) })
			out.TTL = max(out.TTL, a.ttl)
			out.DS = append(out.DS, a.ds...)
		}
		if heard {
			out.Heard++
		} else {
			out.All, out.Trouble = false, list[i].name+": "+strings.TrimPrefix(trouble, list[i].name+": ")
		}
	}
	slices.SortFunc(out.DS, compare)
	out.DS = slices.Compact(out.DS)
	return out
}
