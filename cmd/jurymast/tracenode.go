package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/api"
	"jurymast/internal/api/client"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
	"jurymast/internal/witness/trace"
)

// askNode adds what a node says. Nobody has to run one: a node that nobody has named and that does not answer is left
// out, any other trouble is told in the report.
func (c *cli) askNode(ctx context.Context, o *trace.Options) {
	ctx, cancel := context.WithTimeout(ctx, traceRoom)
	defer cancel()
	named := firstOf(c.api, c.getenv("JURYMAST_API")) != ""
	node, err := c.node()
	if err == nil {
		defer node.Close()
		err = nodeSays(ctx, node, o)
	}
	var away *client.UnreachableError
	switch {
	case err == nil, !named && (errors.As(err, &away) || ctx.Err() != nil):
	default:
		o.Node = &trace.Node{Trouble: oneLine(clean(err.Error()))}
	}
}

func nodeSays(ctx context.Context, node *client.Client, o *trace.Options) error {
	status, err := node.Node(ctx)
	if err != nil {
		return err
	}
	name, err := trace.ParseName(o.Name)
	if err != nil {
		return err
	}
	e, err := node.Explain(ctx, strings.TrimSuffix(name, "."), dns.Type(o.Type).String(), "", "")
	if err != nil {
		return err
	}
	n := &trace.Node{Name: status.Name, Profile: e.Profile, Endpoint: e.Endpoint, Epoch: e.Epoch, Rcode: e.Rcode, TTL: seconds(e.TTL)}
	if e.Rcode != "REFUSED" {
		for _, text := range e.Answer {
			if rr, err := dns.NewRR(text); err == nil && rr != nil {
				h := rr.Header()
				value := strings.TrimPrefix(rr.String(), h.String())
				n.Answer = append(n.Answer, trace.Record{Name: h.Name, Type: dns.Type(h.Rrtype).String(), TTL: h.Ttl, Value: value})
			}
		}
	}
	o.Node, o.NSIDs = n, nsidsOf(status)
	if e.Profile == "" {
		return nil
	}
	p, err := node.Status(ctx, e.Profile)
	if err != nil {
		return err
	}
	profileSays(p, o)
	return nil
}

// nsidsOf are the hashes by which our nodes answer, unless they are told to answer something else.
func nsidsOf(status *api.NodeStatus) map[string]string {
	out := map[string]string{}
	names := []string{status.Name}
	for _, m := range status.Members {
		names = append(names, m.Name)
	}
	for _, name := range names {
		out[nameserver.EDNSOf(&profile.NameserverFront{NSID: profile.NSIDAuto}, name).NSID] = name
		out[name] = name
	}
	return out
}

// profileSays adds the decision, and with routing that gives everybody another endpoint, the others that are right.
func profileSays(p *api.ProfileStatus, o *trace.Options) {
	n := o.Node
	n.Routing = p.Routing
	if d := p.Decision; d != nil && d.Epoch > 0 {
		n.Active, n.Previous, n.Epoch, n.Since, n.Reason = d.Active, d.Previous, d.Epoch, d.Since, oneLine(d.Reason)
	}
	o.Varies = p.Routing != string(profile.Priority)
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		n.MaxTTL = max(n.MaxTTL, seconds(e.TTL))
		if e.MonitorStatus != "Degraded" && e.MonitorStatus != "Disabled" {
			o.Also = append(o.Also, e.Target, dns.CanonicalName(e.Target))
		}
	}
}

// seconds of a duration as the API writes it; what is none is 0.
func seconds(text string) uint32 {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0
	}
	return uint32(d / time.Second) //nolint:gosec // a TTL
}

// compact is JSON on one line.
func compact(text []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text
	}
	return b.Bytes()
}
