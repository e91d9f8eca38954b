package lab

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// flowKind says what a flow does when it runs.
type flowKind int

const (
	flowRegion flowKind = iota // constant body: hello from REGION
	flowEcho                   // the request's body back; 204 when it is empty; CamelHttpResponseCode chooses the status
	flowSOAP                   // the region in a SOAP envelope of our own
	flowBroken                 // starts, then fails at run time
	flowFaulty                 // does not start
)

// artifact is one integration flow at design time.
type artifact struct {
	ID, Name, Version, Package string
	Address                    string // with the sender's prefix, /http or /cxf; a trailing /* matches any rest
	kind                       flowKind
	csrf                       bool // protected when TenantOptions.CSRF is set
	initially                  bool // deployed when the tenant starts
}

// labPackage is the one integration package.
const labPackage = "JurymastLab"

// designTime are the flows every tenant is born with, modelled on the health flows of public failover samples.
var designTime = []*artifact{
	{ID: "HealthCheck", Name: "HealthCheck", Version: "1.0.3", Address: "/http/health", csrf: true, initially: true},
	{ID: "HealthCheckHA", Name: "HealthCheck for high availability", Version: "1.0.0", Address: "/http/ha/health", csrf: true, initially: true},
	{ID: "Ping", Name: "Ping", Version: "1.0.0", Address: "/http/ping", initially: true},
	{ID: "Echo", Name: "Echo", Version: "1.0.1", Address: "/http/echo/*", kind: flowEcho, csrf: true, initially: true},
	{ID: "SoapPing", Name: "Ping over SOAP", Version: "1.0.0", Address: "/cxf/ping", kind: flowSOAP, initially: true},
	{ID: "SoapHealth", Name: "HealthCheck over SOAP", Version: "1.0.0", Address: "/cxf/health", kind: flowSOAP, initially: true},
	{ID: "Broken", Name: "Fails at run time", Version: "1.0.0", Address: "/http/broken", kind: flowBroken},
	{ID: "Faulty", Name: "Does not start", Version: "1.0.0", Address: "/http/faulty", kind: flowFaulty},
	{ID: "HealthCheckCopy", Name: "HealthCheck, address taken twice", Version: "1.0.0", Address: "/http/health", csrf: true},
}

// The states of a runtime artefact and of a deployment task.
const (
	statusStarting = "STARTING"
	statusStarted  = "STARTED"
	statusError    = "ERROR"
	statusStopping = "STOPPING"

	taskDeploying = "DEPLOYING"
	taskSuccess   = "SUCCESS"
	taskFail      = "FAIL"
	taskLicense   = "FAIL_ON_LICENSE_ERROR"
)

// deployment is one artefact in the runtime. Nothing moves it: its state follows from the time.
//
//	STARTING --settle--> STARTED or ERROR     STOPPING --gone--> (no longer there)
type deployment struct {
	art     *artifact
	by      string
	on      time.Time
	settle  time.Time // when STARTING ends
	trouble string    // why it ends in ERROR, empty for STARTED
	running bool      // an earlier version answers while this one starts
	gone    time.Time // when STOPPING ends; zero: not stopping
}

func (d *deployment) status(now time.Time) string {
	switch {
	case !d.gone.IsZero():
		return statusStopping
	case now.Before(d.settle):
		return statusStarting
	case d.trouble != "":
		return statusError
	}
	return statusStarted
}

// serves reports whether requests reach the flow.
func (d *deployment) serves(now time.Time) bool {
	st := d.status(now)
	return st == statusStarted || st == statusStarting && d.running
}

// task is one deployment order.
type task struct {
	id     string
	done   time.Time
	result string
}

// maxTasks bounds the orders remembered.
const maxTasks = 1000

// landscape is what is deployed in one tenant. Time is an argument of every call.
type landscape struct {
	deployTime time.Duration

	mu    sync.RWMutex
	live  []*deployment
	tasks []task // oldest first
}

func newLandscape(deployTime time.Duration, now time.Time) *landscape {
	l := &landscape{deployTime: deployTime}
	for _, a := range designTime {
		if a.initially {
			l.live = append(l.live, &deployment{art: a, by: "lab", on: now, settle: now})
		}
	}
	return l
}

func designed(id string) *artifact {
	for _, a := range designTime {
		if a.ID == id {
			return a
		}
	}
	return nil
}

// find returns the flow that serves a path: compared without case, the longest match wins.
func (l *landscape) find(path string, now time.Time) *artifact {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var best *artifact
	for _, d := range l.live {
		if addressMatches(d.art.Address, path) && d.serves(now) && (best == nil || len(d.art.Address) > len(best.Address)) {
			best = d.art
		}
	}
	return best
}

func addressMatches(address, path string) bool {
	head, wild := strings.CutSuffix(address, "/*")
	if !wild {
		return strings.EqualFold(address, strings.TrimSuffix(path, "/"))
	}
	return len(path) >= len(head) && strings.EqualFold(path[:len(head)], head) && (len(path) == len(head) || path[len(head)] == '/')
}

// deploy starts the deployment of an artefact and returns the id of its task.
func (l *landscape) deploy(a *artifact, by string, licensed bool, now time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	t := task{id: newUUID(), done: now.Add(l.deployTime), result: taskSuccess}
	if licensed {
		d := &deployment{art: a, by: by, on: now, settle: t.done, trouble: l.trouble(a)}
		if old := l.index(a.ID); old >= 0 {
			d.running = l.live[old].serves(now)
			l.live = slices.Delete(l.live, old, old+1)
		}
		l.live = append(l.live, d)
		if d.trouble != "" {
			t.result = taskFail
		}
	} else {
		t.result = taskLicense
	}
	if len(l.tasks) >= maxTasks {
		l.tasks = slices.Delete(l.tasks, 0, 1)
	}
	l.tasks = append(l.tasks, t)
	return t.id
}

// trouble wants mu held: why an artefact will not start.
func (l *landscape) trouble(a *artifact) string {
	if a.kind == flowFaulty {
		return "java.lang.IllegalStateException: the bundle of " + a.ID + " cannot be resolved"
	}
	for _, d := range l.live {
		if d.art.ID != a.ID && d.trouble == "" && d.gone.IsZero() && strings.EqualFold(d.art.Address, a.Address) {
			return fmt.Sprintf("the address %s is in use by %s; an address may be deployed once", a.Address, d.art.ID)
		}
	}
	return ""
}

// undeploy stops an artefact; false when it is not there. Stopping takes a quarter of a deployment.
func (l *landscape) undeploy(id string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	i := l.index(id)
	if i < 0 {
		return false
	}
	if l.live[i].gone.IsZero() {
		l.live[i].gone = now.Add(l.deployTime / 4)
	}
	l.sweep(now)
	return true
}

// index wants mu held.
func (l *landscape) index(id string) int {
	return slices.IndexFunc(l.live, func(d *deployment) bool { return d.art.ID == id })
}

// sweep wants mu held: it forgets what has stopped.
func (l *landscape) sweep(now time.Time) {
	l.live = slices.DeleteFunc(l.live, func(d *deployment) bool { return !d.gone.IsZero() && !now.Before(d.gone) })
}

// running lists copies of what is there.
func (l *landscape) running(now time.Time) []deployment {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	list := make([]deployment, 0, len(l.live))
	for _, d := range l.live {
		list = append(list, *d)
	}
	slices.SortFunc(list, func(a, b deployment) int { return strings.Compare(a.art.ID, b.art.ID) })
	return list
}

// taskStatus returns the state of a deployment order.
func (l *landscape) taskStatus(id string, now time.Time) (string, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, t := range l.tasks {
		if t.id == id {
			if now.Before(t.done) {
				return taskDeploying, true
			}
			return t.result, true
		}
	}
	return "", false
}
