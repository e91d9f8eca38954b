package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"jurymast/internal/health"
)

// Class is what kind of failure a probe ended in. "" is success.
type Class string

// The classes of failure.
const (
	ClassResolve   Class = "resolve"   // the name did not resolve, or not in time
	ClassConnect   Class = "connect"   // no address accepted the connection
	ClassTimeout   Class = "timeout"   // the timeout ran out in a later phase
	ClassTLS       Class = "tls"       // handshake or certificate
	ClassStatus    Class = "status"    // a status outside the expected ranges; dns: another response code
	ClassBody      Class = "body"      // the body, or what the peer said, did not match
	ClassHeader    Class = "header"    // an expected header is missing or differs
	ClassProtocol  Class = "protocol"  // no answer of the expected protocol: closed, reset, malformed
	ClassLatency   Class = "latency"   // healthy, but slower than allowed
	ClassExec      Class = "exec"      // the program ended with another code than 0, or did not start
	ClassInverted  Class = "inverted"  // a success that an inverted check takes for a failure
	ClassPanic     Class = "panic"     // a bug of ours; counted as a failure and logged
	ClassLocal     Class = "local"     // this node ran out of sockets or memory: no evidence, never reported by the Scheduler
	ClassCancelled Class = "cancelled" // the caller ended the probe; never reported by the Scheduler
)

// Names of phases in a Result's log.
const (
	PhaseResolve   = "resolve"
	PhaseConnect   = "connect"
	PhaseTLS       = "tls"
	PhaseRequest   = "request"
	PhaseFirstByte = "first byte"
	PhaseStatus    = "status"
	PhaseRule      = "rule"
	PhaseBody      = "body"
	PhaseRemark    = "remark" // no step: something an operator should know
)

// Phase is one step of a probe.
type Phase struct {
	Name     string
	Duration time.Duration
	Detail   string // one line, secrets masked
}

// Result is what one probe saw.
type Result struct {
	Obs   health.Observation
	Class Class // "" when Obs.OK
	Log   []Phase

	CertNotAfter time.Time // end of the certificate the endpoint showed; zero without TLS
}

// inverted swaps success and failure. What says nothing about the endpoint stays as it is.
func (r Result) inverted() Result {
	if r.Class == ClassLocal || r.Class == ClassCancelled || r.Class == ClassPanic {
		return r
	}
	r.Obs.OK = !r.Obs.OK
	r.Obs.Reason = "inverted: " + r.Obs.Reason
	r.Class = ""
	if !r.Obs.OK {
		r.Class = ClassInverted
	}
	return r
}

// failure ends a probe. nil is success so far.
type failure struct {
	class  Class
	reason string
}

func failed(class Class, format string, args ...any) *failure {
	return &failure{class, fmt.Sprintf(format, args...)}
}

// broke says why an operation of the probe ended in err: the caller's cancel, our timeout, or class with the cause.
func (r *run) broke(ctx context.Context, err error, class Class, what, waiting string) *failure {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return failed(ClassCancelled, "cancelled")
	case timedOut(err):
		return failed(ClassTimeout, "timeout after %s %s", r.after(), waiting)
	default:
		return failed(class, "%s: %s", what, cause(err))
	}
}

func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// exhausted are the errors of a node that can open no socket. They say nothing about an endpoint: taking them for a
// failure would fail over a healthy service because its watcher is ill.
var exhausted = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}

// local reports that err is the node's own. A resolver hands on only the text of such an error.
func local(err error) bool {
	return slices.ContainsFunc(exhausted, func(e syscall.Errno) bool {
		return errors.Is(err, e) || strings.HasSuffix(err.Error(), e.Error())
	})
}

// cause is the innermost useful text of an error: what an operator can search for.
func cause(err error) string {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed in the middle"
	case errors.Is(err, io.EOF):
		return "connection closed"
	default:
		return err.Error()
	}
}
