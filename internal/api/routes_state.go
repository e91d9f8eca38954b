package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

var typeOfProblem = reflect.TypeFor[Problem]()

// stateRoutes show how things stand.
func (s *Server) stateRoutes(h huma.API) {
	huma.Register(h, operation(http.MethodGet, "/node", "get-node", "state", "This node as a whole"),
		func(context.Context, *struct{}) (*output[NodeStatus], error) {
			return &output[NodeStatus]{s.node()}, nil
		})
	huma.Register(h, operation(http.MethodGet, "/nodes", "list-nodes", "state", "The live nodes of the cluster"),
		func(context.Context, *struct{}) (*output[NodeList], error) {
			n := s.node()
			return &output[NodeList]{NodeList{n.Members}}, nil
		})
	huma.Register(h, operation(http.MethodGet, "/status", "list-status", "state", "The state of every profile"),
		func(context.Context, *struct{}) (*output[StatusList], error) {
			return &output[StatusList]{StatusList{statuses(s.o.Hub.Load())}}, nil
		})
	huma.Register(h, operation(http.MethodGet, "/profiles/{name}/status", "get-status", "state",
		"Endpoints, votes, decision, orders and TTL of a profile", http.StatusNotFound),
		func(ctx context.Context, in *named) (*output[ProfileStatus], error) {
			v := s.view(in.Name)
			if v == nil {
				return nil, problemOf(ctx, s.log, noProfile(in.Name))
			}
			return &output[ProfileStatus]{StatusOf(v)}, nil
		})
}

// node never hands out null for a list.
func (s *Server) node() NodeStatus {
	n := s.o.Node()
	if n.Listeners == nil {
		n.Listeners = []Listener{}
	}
	if n.Members == nil {
		n.Members = []NodeMember{}
	}
	return n
}

// toolRoutes answer "what if" and "what now".
func (s *Server) toolRoutes(h huma.API) {
	huma.Register(h, operation(http.MethodGet, "/explain", "explain", "tools", "The answer a question would get now, and why"), s.explain)
	huma.Register(h, operation(http.MethodPost, "/profiles/{name}/endpoints/{endpoint}/probe", "probe", "tools",
		"Probe an endpoint once, now; the result is no evidence", http.StatusNotFound), s.probe)
}

type explainInput struct {
	Name   string `query:"name" required:"true" minLength:"1" maxLength:"255" doc:"name asked for"`
	Type   string `query:"type" default:"A" maxLength:"20" doc:"record type asked for"`
	Client string `query:"client" doc:"address the question comes from"`
	ECS    string `query:"ecs" doc:"client subnet in the question, e.g. 192.0.2.0/24"`
}

func (s *Server) explain(ctx context.Context, in *explainInput) (*output[Explanation], error) {
	var client netip.Addr
	var ecs netip.Prefix
	if in.ECS != "" {
		var err error
		if ecs, err = netip.ParsePrefix(in.ECS); err != nil {
			return nil, problemOf(ctx, s.log, badInput("query.ecs", "%q is no subnet; allowed: an IPv4 or IPv6 prefix, for example 192.0.2.0/24", in.ECS))
		}
		ecs = ecs.Masked()
	}
	if in.Client != "" {
		var err error
		if client, err = netip.ParseAddr(in.Client); err != nil {
			return nil, problemOf(ctx, s.log, badInput("query.client", "%q is no address; allowed: IPv4 or IPv6, for example 192.0.2.7", in.Client))
		}
	}
	if s.o.Explain == nil {
		return nil, problemOf(ctx, s.log, fmt.Errorf("this node answers no DNS: %w", ErrNotFound))
	}
	e, err := s.o.Explain(ctx, in.Name, strings.ToUpper(in.Type), client, ecs)
	if e.Answer == nil {
		e.Answer = []string{}
	}
	if e.Trail == nil {
		e.Trail = []steer.Step{}
	}
	return answer(ctx, s, e, err)
}

type probeInput struct {
	Name     string `path:"name"`
	Endpoint string `path:"endpoint"`
}

func (s *Server) probe(ctx context.Context, in *probeInput) (*output[ProbeResult], error) {
	v, e, err := s.find(in.Name, in.Endpoint)
	if err != nil {
		return nil, problemOf(ctx, s.log, err)
	}
	if why := unprobed(v.Profile, e.Config); why != "" {
		return nil, newProblem(http.StatusUnprocessableEntity, CodeInvalid, fmt.Sprintf("endpoint %q of profile %q %s", e.Config.Name, v.Profile.Name, why))
	}
	if s.o.Probe == nil {
		return nil, problemOf(ctx, s.log, fmt.Errorf("this node probes nothing: %w", ErrNotFound))
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout-idleProbe)
	defer cancel()
	r, err := s.o.Probe(ctx, v.Profile.Name, e.Config.Name)
	if r.Phases == nil {
		r.Phases = []ProbePhase{}
	}
	return answer(ctx, s, r, err)
}

// unprobed says what an endpoint has in place of probes, and what to use instead; "" when it is probed.
func unprobed(p *profile.Profile, e *profile.Endpoint) string {
	switch m := &e.Monitor; {
	case e.Target.Profile != "":
		return fmt.Sprintf("stands for profile %q and is not probed itself; look at that profile (jurymast status %[1]s) and probe its endpoints", e.Target.Profile)
	case e.AlwaysServe:
		return "is always served (always_serve: true) and not probed; take always_serve out of its document to have it probed"
	case m.Assume != profile.AssumeNothing:
		return fmt.Sprintf("is taken for %s (monitor.assume) and not probed; write a monitor with a protocol in its place to have it probed", m.Assume)
	case m.External != nil:
		return fmt.Sprintf("has an external check: others say how it is, nobody probes it; jurymast status %s shows the last signal, jurymast signal sends one", p.Name)
	case m.Calculated != nil:
		return fmt.Sprintf("has a calculated check and is not probed itself; probe what it is calculated from: %s", strings.Join(m.Calculated.Of, ", "))
	}
	return ""
}

// idleProbe is what stays of the write timeout to send the answer.
const idleProbe = writeTimeout / 12
