package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// farewell is how long a decided probe waits for the peer to finish, so that the connection ends with FIN, not RST.
const farewell = 100 * time.Millisecond

// Prober runs probes. Its zero value is usable.
type Prober struct {
	UserAgent string         // default jurymast-probe; the shell adds /VERSION
	Resolver  *net.Resolver  // nil: the system's resolver configuration, read by Go
	Roots     *x509.CertPool // nil: the system's
}

// Run makes one probe with the defaults of Prober.
func Run(ctx context.Context, s Spec) Result { return (&Prober{}).Run(ctx, s) }

// run is one probe under way.
type run struct {
	spec   *Spec
	prober *Prober
	mask   masker
	start  time.Time
	mark   time.Time // start of the phase under way
	addr   string    // address connected to or tried last, without port
	log    []Phase
	seen   string    // reason of a success
	ended  time.Time // when the result was decided; zero: not yet
}

// Run makes one probe. It returns when the result is known and the connection is closed, at most the spec's timeout
// and a farewell of 100 ms after the call. Cancelling ctx ends it at once with ClassCancelled.
func (p *Prober) Run(ctx context.Context, s Spec) Result {
	now := time.Now()
	r := &run{spec: &s, prober: p, mask: s.masker(), start: now, mark: now}
	ctx, cancel := context.WithDeadline(ctx, now.Add(s.Timeout))
	defer cancel()
	f := r.probe(ctx)
	r.decided()
	obs := health.Observation{At: r.ended, OK: f == nil, Reason: r.mask.line(r.seen), Addr: r.addr, Latency: r.ended.Sub(r.start)}
	if f == nil {
		return Result{Obs: obs, Log: r.log}
	}
	obs.Reason = r.mask.line(f.reason)
	return Result{Obs: obs, Class: f.class, Log: r.log}
}

// phase writes the step that just ended into the log.
func (r *run) phase(name, detail string) {
	now := time.Now()
	r.log = append(r.log, Phase{Name: name, Duration: now.Sub(r.mark), Detail: r.mask.line(detail)})
	r.mark = now
}

// decided notes the first moment at which the result was known; what follows is politeness.
func (r *run) decided() {
	if r.ended.IsZero() {
		r.ended = time.Now()
	}
}

func (r *run) probe(ctx context.Context) *failure {
	addrs, f := r.resolve(ctx)
	if f != nil {
		r.phase(PhaseResolve, f.reason)
		return f
	}
	conn, f := r.connect(ctx, addrs)
	if f != nil {
		r.phase(PhaseConnect, f.reason)
		return f
	}
	defer conn.Close()
	stop := r.guard(ctx, conn)
	defer stop()
	if r.spec.Protocol == profile.TCP {
		r.seen = "connected to " + conn.RemoteAddr().String()
		r.decided()
		finish(conn)
		return nil
	}
	if r.spec.Protocol == profile.HTTPS {
		secure, f := r.handshake(ctx, conn)
		if f != nil {
			r.phase(PhaseTLS, f.reason)
			return f
		}
		defer secure.Close()
		conn = secure
	}
	return r.exchange(ctx, conn)
}

// guard makes the probe's deadline and the caller's cancel the connection's.
func (r *run) guard(ctx context.Context, conn net.Conn) (stop func() bool) {
	_ = conn.SetDeadline(r.start.Add(r.spec.Timeout)) // fails only on a closed connection, which the next read reports
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// finish closes in order: FIN first, then what the peer still says is read for a moment, because closing with unread
// bytes would send RST.
func finish(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(farewell))
	buf := make([]byte, 4096)
	for range BodyLimit / len(buf) {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}

// resolve returns the addresses to try, in order.
func (r *run) resolve(ctx context.Context) ([]netip.Addr, *failure) {
	var addrs []netip.Addr
	for _, host := range r.spec.Targets {
		if a, err := netip.ParseAddr(host); err == nil {
			addrs = append(addrs, a)
			continue
		}
		found, err := r.lookup(ctx, host)
		if err != nil {
			return nil, r.unresolved(ctx, host, err)
		}
		addrs = append(addrs, found...)
	}
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	r.phase(PhaseResolve, strings.Join(words, " "))
	return addrs, nil
}

func (r *run) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	resolver := r.prober.Resolver
	if resolver == nil {
		resolver = &net.Resolver{PreferGo: true}
	}
	if strings.Contains(host, ".") && !strings.HasSuffix(host, ".") {
		host += "." // a search domain must not make a missing name look healthy
	}
	found, err := resolver.LookupNetIP(ctx, "ip", host)
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found, err
}

func (r *run) unresolved(ctx context.Context, host string, err error) *failure {
	var dns *net.DNSError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return failed(ClassCancelled, "cancelled")
	case ctx.Err() != nil || timedOut(err):
		return failed(ClassResolve, "resolve %s: timeout after %s", host, r.spec.Timeout)
	case errors.As(err, &dns) && local(errors.New(dns.Err)), local(err):
		return failed(ClassLocal, "resolve %s: %s", host, cause(err))
	case errors.As(err, &dns):
		return failed(ClassResolve, "resolve %s: %s", host, dns.Err)
	default:
		return failed(ClassResolve, "resolve %s: %s", host, cause(err))
	}
}

// connect tries the addresses in order until one connects. What is left of the timeout is shared evenly by the
// addresses not yet tried, so that one silent address does not hide a working one.
func (r *run) connect(ctx context.Context, addrs []netip.Addr) (net.Conn, *failure) {
	dialer := net.Dialer{KeepAlive: -1}
	var tried []string
	var last *failure
	for i, a := range addrs {
		r.addr = a.String()
		place := net.JoinHostPort(r.addr, strconv.Itoa(r.spec.Port))
		end := r.start.Add(r.spec.Timeout)
		share, cancel := context.WithTimeout(ctx, time.Until(end)/time.Duration(len(addrs)-i))
		conn, err := dialer.DialContext(share, "tcp", place)
		cancel()
		if err == nil {
			detail := place
			if len(tried) > 0 {
				detail += " (after " + strings.Join(tried, "; ") + ")"
			}
			r.phase(PhaseConnect, detail)
			return conn, nil
		}
		var netErr net.Error
		switch {
		case errors.Is(ctx.Err(), context.Canceled):
			return nil, failed(ClassCancelled, "cancelled")
		case local(err):
			return nil, failed(ClassLocal, "connect %s: %s", place, cause(err))
		case errors.As(err, &netErr) && netErr.Timeout():
			last = failed(ClassTimeout, "timeout after %s connecting to %s", r.spec.Timeout, place)
			tried = append(tried, place+": no answer")
		default:
			last = failed(ClassConnect, "connect %s: %s", place, cause(err))
			tried = append(tried, place+": "+cause(err))
		}
	}
	if last == nil {
		return nil, failed(ClassResolve, "resolve %s: no address", strings.Join(r.spec.Targets, " "))
	}
	if len(tried) > 1 {
		last.reason = "connect " + strings.Join(tried, "; ")
	}
	return nil, last
}
