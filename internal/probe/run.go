package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
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

	until   time.Time     // end of the part under way
	part    string        // "" while the whole timeout is what ends first
	bound   time.Duration // of the part, when it has a name
	certEnd time.Time
}

// Run makes one probe. It returns when the result is known and the connection is closed, at most the spec's timeout
// and a farewell of 100 ms after the call. Cancelling ctx ends it at once with ClassCancelled.
func (p *Prober) Run(ctx context.Context, s Spec) Result {
	now := time.Now()
	r := &run{spec: &s, prober: p, mask: s.masker(), start: now, mark: now, until: now.Add(s.Timeout), log: make([]Phase, 0, 8)}
	ctx, cancel := context.WithDeadline(ctx, r.until)
	defer cancel()
	f := r.probe(ctx)
	r.decided()
	result := Result{
		Obs: health.Observation{At: r.ended, Addr: r.addr, Latency: r.ended.Sub(r.start)},
		Log: r.log, CertNotAfter: r.certEnd,
	}
	if f == nil && s.MaxLatency > 0 && result.Obs.Latency > s.MaxLatency {
		f = failed(ClassLatency, "took %s, allowed %s", short(result.Obs.Latency), s.MaxLatency)
	}
	reason := r.seen
	if f != nil {
		result.Class, reason = f.class, f.reason
	}
	result.Obs.OK, result.Obs.Reason = f == nil, r.mask.cut(reason, r.reasonLimit())
	if s.Invert {
		return result.inverted()
	}
	return result
}

// reasonLimit is the length of a reason in bytes. What a program says is kept longer: it is all there is to see.
func (r *run) reasonLimit() int {
	if r.spec.Protocol == profile.Exec {
		return outputLimit + lineLimit
	}
	return lineLimit
}

// short is a duration without digits nobody needs.
func short(d time.Duration) time.Duration {
	if d >= time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Microsecond)
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
	switch r.spec.Protocol {
	case profile.Exec:
		return r.exec(ctx)
	case profile.DNS:
		return r.dns(ctx)
	case profile.HTTP, profile.HTTPS, profile.TCP:
	}
	r.begin(ctx, nil, "connect", r.spec.Parts.Connect)
	connecting := ctx
	if r.part != "" {
		var cancel context.CancelFunc
		connecting, cancel = context.WithDeadline(ctx, r.until)
		defer cancel()
	}
	addrs, f := r.resolve(connecting)
	if f != nil {
		r.phase(PhaseResolve, f.reason)
		return f
	}
	conn, f := r.connect(connecting, addrs)
	if f != nil {
		r.phase(PhaseConnect, f.reason)
		return f
	}
	defer conn.Close()
	if f := r.announce(conn); f != nil {
		r.phase(PhaseConnect, f.reason)
		return f
	}
	if r.spec.Protocol == profile.TCP && !r.talks() {
		r.seen = "connected to " + net.JoinHostPort(r.addr, strconv.Itoa(r.spec.Port))
		r.decided()
		r.hangUp(conn)
		return nil
	}
	stop := r.guard(ctx, conn, r.until)
	defer stop()
	if r.spec.Protocol == profile.TCP {
		f := r.converse(ctx, conn)
		r.decided()
		r.hangUp(conn)
		return f
	}
	if r.spec.Protocol == profile.HTTPS {
		secure, f := r.handshake(connecting, conn)
		if f != nil {
			r.phase(PhaseTLS, f.reason)
			return f
		}
		defer secure.Close()
		conn = secure
	}
	return r.exchange(ctx, conn)
}

// talks reports that a tcp probe does more than to connect.
func (r *run) talks() bool { return r.spec.Send != "" || r.spec.Expect.Text != "" }

// hangUp ends a tcp probe as the operator wants it.
func (r *run) hangUp(conn net.Conn) {
	if r.spec.Reset {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		return
	}
	finish(conn)
}

// begin starts a part of the probe with a bound of its own. The whole timeout ends every part.
func (r *run) begin(ctx context.Context, conn net.Conn, part string, bound time.Duration) {
	r.part, r.bound, r.until = "", 0, r.start.Add(r.spec.Timeout)
	if bound > 0 {
		if end := time.Now().Add(bound); end.Before(r.until) {
			r.part, r.bound, r.until = part, bound, end
		}
	}
	if conn != nil {
		_ = conn.SetDeadline(r.until) // fails only on a closed connection, which the next read reports
		if ctx.Err() != nil {         // the guard may have fired before
			_ = conn.SetDeadline(longAgo)
		}
	}
}

// after says what bound ran out.
func (r *run) after() string {
	if r.part != "" {
		return fmt.Sprintf("%s (timeouts.%s)", r.bound, r.part)
	}
	return r.spec.Timeout.String()
}

// longAgo ends all reads and writes of a connection.
var longAgo = time.Unix(1, 0)

// guard makes a deadline and the caller's cancel the connection's.
func (r *run) guard(ctx context.Context, conn net.Conn, until time.Time) (stop func() bool) {
	_ = conn.SetDeadline(until) // fails only on a closed connection, which the next read reports
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(longAgo) })
}

// finish closes in order: FIN first, then what the peer still says is read for a moment, because closing with unread
// bytes would send RST.
func finish(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(farewell))
	buf := takeBuffer()
	defer giveBuffer(buf)
	for range BodyLimit / len(buf) {
		if _, err := conn.Read(buf[:]); err != nil {
			return
		}
	}
}

// buffers are for reading; nothing of them is kept.
var buffers = sync.Pool{New: func() any { return new([4096]byte) }}

func takeBuffer() *[4096]byte {
	b, _ := buffers.Get().(*[4096]byte)
	return b
}

func giveBuffer(b *[4096]byte) { buffers.Put(b) }

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
		return failed(ClassResolve, "resolve %s: timeout after %s", host, r.after())
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
	var tried []string
	var last *failure
	for i, a := range addrs {
		r.addr = a.String()
		place := net.JoinHostPort(r.addr, strconv.Itoa(r.spec.Port))
		dialer := net.Dialer{KeepAlive: -1}
		if rest := len(addrs) - i; rest > 1 {
			dialer.Timeout = time.Until(r.until) / time.Duration(rest)
		}
		conn, err := dialer.DialContext(ctx, "tcp", place)
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
			last = failed(ClassTimeout, "timeout after %s connecting to %s", r.after(), place)
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
