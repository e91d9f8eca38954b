package preflight

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"jurymast/internal/profile"
)

// Bounds of a live run where Tools state none.
const (
	DefaultParallel = 32               // endpoints, zones and profiles tried at once
	DefaultTimeout  = 30 * time.Second // for everything tried at one endpoint
	attemptTimeout  = 5 * time.Second  // for one connection with its handshake and answer
)

// Tools are the means of a live run. The zero value tries everything but the monitor's own probe and a running node.
type Tools struct {
	Prober   Prober                              // nil: probes are not run
	Cluster  Cluster                             // nil: no running node is asked
	Secret   func(profile.Value) (string, error) // for tls.ca and tls.client_cert; nil: plain texts only
	Resolver *net.Resolver                       // nil: the system's configuration, read by Go
	Roots    *x509.CertPool                      // nil: the system's
	Now      func() time.Time                    // nil: time.Now
	Progress func(done, total int)               // called from one goroutine at a time; nil: nobody watches
	Parallel int                                 // 0: DefaultParallel
	Timeout  time.Duration                       // 0: DefaultTimeout
}

// Prober runs the monitor's probes of an endpoint once, from here.
type Prober interface {
	// Probe returns one result per check. An error means that no probe could be made of the settings.
	Probe(ctx context.Context, p *profile.Profile, e *profile.Endpoint) ([]ProbeResult, error)
}

// ProbeResult is what one probe saw. Texts are masked by the prober.
type ProbeResult struct {
	Check   string // name of the check, "" for the only one
	OK      bool
	Reason  string
	Latency time.Duration
	Log     []string // one line per phase
}

// Cluster is a running node that is asked what all nodes see.
type Cluster interface {
	Nodes(ctx context.Context) ([]Node, error)
	// Votes of one profile. ErrUnknownProfile when the node does not have it.
	Votes(ctx context.Context, profile string) ([]Vote, error)
}

// ErrUnknownProfile says that a running node does not have the profile, for example because the file is not applied yet.
var ErrUnknownProfile = errors.New("the running node does not have this profile yet")

// Vote is what one node says about one endpoint.
type Vote struct {
	Endpoint, Node, Location string
	Opinion                  string // up, down or checking
	Reason                   string
	Since                    time.Time
	Blind                    bool
}

// Report is the outcome of a live run.
type Report struct {
	At       time.Time `json:"at"`
	Worst    Severity  `json:"worst"`
	Findings []Finding `json:"findings"` // worst first
}

// Run makes the findings of Static and those of trying everything from here. It ends early, with what it has, when ctx
// ends.
func Run(ctx context.Context, in Input, tools Tools) Report {
	r := newRunner(in, tools)
	r.meet(ctx)
	var jobs []func(context.Context) findings
	for i := range r.in.File.Zones {
		z := &r.in.File.Zones[i]
		jobs = append(jobs, func(ctx context.Context) findings { return r.zone(ctx, z) })
	}
	var tried []*trial
	for i := range r.in.File.Profiles {
		p := &r.in.File.Profiles[i]
		for j := range p.Endpoints {
			t := &trial{runner: r, p: p, e: &p.Endpoints[j], at: at{profile: p.Name, endpoint: p.Endpoints[j].Name}}
			tried = append(tried, t)
			jobs = append(jobs, t.run)
		}
	}
	list := append(findings{}, Static(r.in)...)
	list = append(list, r.early...)
	list = append(list, r.all(ctx, jobs)...)
	r.compare(tried, &list)
	r.votes(ctx, tried, &list)
	Sort(list)
	return Report{At: r.Now(), Worst: Worst(list), Findings: list}
}

// runner is one live run.
type runner struct {
	Tools
	in    Input
	early findings
}

func newRunner(in Input, tools Tools) *runner {
	r := &runner{Tools: tools, in: in}
	if r.Resolver == nil {
		r.Resolver = &net.Resolver{PreferGo: true}
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.Parallel <= 0 {
		r.Parallel = DefaultParallel
	}
	if r.Timeout <= 0 {
		r.Timeout = DefaultTimeout
	}
	return r
}

// meet asks the running node who its peers are. Without an answer the run goes on without it.
func (r *runner) meet(ctx context.Context) {
	if r.Cluster == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	nodes, err := r.Cluster.Nodes(ctx)
	if err != nil {
		r.Cluster = nil
		r.early.add(Warning, NodeUnreachable, at{}, "the running node cannot be asked: "+err.Error(),
			"what the other vantage points see is not part of this report", "start it, or correct --api or JURYMAST_API")
		return
	}
	r.in.Nodes = nodes
}

// all runs the jobs, at most Parallel at once, and returns their findings in the order of the jobs.
func (r *runner) all(ctx context.Context, jobs []func(context.Context) findings) findings {
	results := make([]findings, len(jobs))
	done := make(chan int)
	slots := make(chan struct{}, r.Parallel)
	var wg sync.WaitGroup
	for i, job := range jobs {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots; done <- i }()
			ctx, cancel := context.WithTimeout(ctx, r.Timeout)
			defer cancel()
			results[i] = job(ctx)
		})
	}
	for n := range jobs {
		<-done
		if r.Progress != nil {
			r.Progress(n+1, len(jobs))
		}
	}
	wg.Wait()
	return slices.Concat(results...)
}

// compare finds what only the resolved addresses of several endpoints show, save what the file itself shows already.
func (r *runner) compare(tried []*trial, list *findings) {
	known := map[string]bool{} // profile and endpoints that share something, profile and code
	for i := range *list {
		f := &(*list)[i]
		if f.Code == SameAddress {
			owners, _, _ := strings.Cut(f.What, sharing)
			known[f.Profile+"\x00"+owners] = true
		}
		if f.Code == FamiliesDiffer {
			known[f.Profile+"\x00"+string(FamiliesDiffer)] = true
		}
	}
	for len(tried) > 0 {
		p, n := tried[0].p, 1
		for n < len(tried) && tried[n].p == p {
			n++
		}
		compareProfile(at{profile: p.Name}, tried[:n], known, list)
		tried = tried[n:]
	}
}

func compareProfile(place at, tried []*trial, known map[string]bool, list *findings) {
	owners, order, families := map[string][]string{}, []string(nil), map[string][]string{}
	for _, t := range tried {
		if !t.e.Enabled || t.e.Stopped {
			continue
		}
		for _, a := range t.addrs {
			if owners[a] == nil {
				order = append(order, a)
			}
			owners[a] = append(owners[a], t.e.Name)
		}
		if f := familiesOf(t.answered); f != "" {
			families[f] = append(families[f], t.e.Name)
		}
	}
	for _, a := range order {
		if len(owners[a]) > 1 && !known[place.profile+"\x00"+strings.Join(owners[a], ", ")] {
			list.sameAddress(place, a, owners[a], "their names resolve to it now")
		}
	}
	if !known[place.profile+"\x00"+string(FamiliesDiffer)] {
		list.familyGroups(place, families)
	}
}

// votes adds what the running node's peers see.
func (r *runner) votes(ctx context.Context, tried []*trial, list *findings) {
	if r.Cluster == nil {
		return
	}
	known, missing := map[string][]Vote{}, map[string]bool{}
	for _, t := range tried {
		name := t.p.Name
		if _, asked := known[name]; !asked {
			known[name] = r.votesOf(ctx, name, missing, list)
		}
		if !missing[name] {
			t.compareVotes(known[name], r.Now(), list)
		}
	}
}

func (r *runner) votesOf(ctx context.Context, name string, missing map[string]bool, list *findings) []Vote {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	votes, err := r.Cluster.Votes(ctx, name)
	if err == nil {
		return votes
	}
	missing[name] = true
	if errors.Is(err, ErrUnknownProfile) {
		list.add(Info, VantageVotes, at{profile: name}, err.Error(), "only this machine has tried its endpoints", "")
	} else {
		list.add(Warning, NodeUnreachable, at{profile: name}, "the running node cannot be asked: "+err.Error(),
			"what the other vantage points see is not part of this report", "start it, or correct --api or JURYMAST_API")
	}
	return []Vote{}
}
