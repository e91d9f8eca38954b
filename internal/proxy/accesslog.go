package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// line is one request in the access log. There is no field for cookies, authorization, query or body: they cannot get in.
type line struct {
	Time         time.Time `json:"time"`
	Node         string    `json:"node,omitempty"`
	Listener     string    `json:"listener,omitempty"`
	Client       string    `json:"client"`
	ClientSource string    `json:"client_source"`
	TLS          string    `json:"tls,omitempty"`
	SNI          string    `json:"sni,omitempty"`
	Proto        string    `json:"proto"`
	Method       string    `json:"method"`
	Host         string    `json:"host"`
	Path         string    `json:"path"`
	QueryHash    string    `json:"query_hash,omitempty"` // first 8 bytes of SHA-256
	Status       int       `json:"status"`
	Reason       Reason    `json:"reason"`
	Profile      string    `json:"profile,omitempty"`
	Endpoint     string    `json:"endpoint,omitempty"`
	Epoch        uint64    `json:"epoch,omitempty"`
	OriginAddr   string    `json:"origin_addr,omitempty"`
	Reused       bool      `json:"reused"`
	Attempts     int       `json:"attempts"`
	Trail        []step    `json:"trail,omitempty"` // failed attempts
	Replay       string    `json:"replay,omitempty"`
	HeldMS       float64   `json:"held_ms"`
	BytesIn      int64     `json:"bytes_in"`
	BytesOut     int64     `json:"bytes_out"`
	Connect      float64   `json:"t_connect"` // ms to a connection, of the last attempt
	FirstByte    float64   `json:"t_first_byte"`
	Total        float64   `json:"t_total"`
	OriginStatus int       `json:"origin_status,omitempty"`
	Upgrade      string    `json:"upgrade,omitempty"`
	TunnelIn     int64     `json:"tunnel_in,omitempty"`
	UserAgent    string    `json:"user_agent,omitempty"`
}

// step is one failed attempt.
type step struct {
	Endpoint string  `json:"endpoint"`
	Epoch    uint64  `json:"epoch"`
	Phase    string  `json:"phase"`
	Error    string  `json:"error"`
	MS       float64 `json:"ms"`
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// describe fills in what the request itself says.
func (l *line) describe(r *http.Request, f *forwarded) {
	l.Client, l.ClientSource = f.client.String(), f.source
	l.Proto, l.Method, l.Host, l.UserAgent = r.Proto, r.Method, r.Host, r.UserAgent()
	path, query, has := strings.Cut(r.RequestURI, "?")
	l.Path = path
	if has {
		sum := sha256.Sum256([]byte(query))
		l.QueryHash = hex.EncodeToString(sum[:8])
	}
	if r.TLS != nil {
		l.TLS, l.SNI = tlsName(r.TLS.Version), r.TLS.ServerName
	}
}

// note keeps what an attempt did.
func (x *exchange) note(a *attempt, err error) {
	l := &x.line
	l.Endpoint, l.Epoch, l.OriginAddr = a.c.endpoint, a.c.epoch, a.c.dest.addr
	l.Attempts, l.Reused = x.attempts, a.reused.Load()
	if at := a.connected.Load(); at != 0 {
		l.Connect = ms(time.Duration(at - a.start.UnixNano()))
	}
	if err == nil {
		l.FirstByte = ms(time.Duration(a.firstByte.Load() - x.line.Time.UnixNano()))
		if a.conns.Load() > 1 { // the sender replaced a dead pooled connection
			x.replaced = true
		}
		return
	}
	phase := "connect"
	if a.phase.Load() == phaseSending {
		phase = "send"
	}
	l.Trail = append(l.Trail, step{a.c.endpoint, a.c.epoch, phase, err.Error(), ms(time.Since(a.start))})
}

// accessLog writes lines in its own goroutine. A full ring drops lines and counts them; no request waits for it.
type accessLog struct {
	ring    chan []byte
	sample  uint64
	n       atomic.Uint64
	dropped func()
	quit    chan struct{}
	done    chan struct{}
}

const accessRing = 4096 // lines

func newAccessLog(w io.Writer, sample int, dropped func()) *accessLog {
	l := &accessLog{ring: make(chan []byte, accessRing), sample: uint64(max(sample, 1)), dropped: dropped, quit: make(chan struct{}), done: make(chan struct{})}
	go l.write(w)
	return l
}

func (l *accessLog) write(w io.Writer) {
	defer close(l.done)
	put := func(b []byte) {
		if _, err := w.Write(b); err != nil {
			l.dropped()
		}
	}
	for {
		select {
		case b := <-l.ring:
			put(b)
		case <-l.quit:
			for {
				select {
				case b := <-l.ring:
					put(b)
				default:
					return
				}
			}
		}
	}
}

// add takes a line; a nil log takes none.
func (l *accessLog) add(v *line) {
	if l == nil || l.n.Add(1)%l.sample != 0 {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		l.dropped()
		return
	}
	select {
	case l.ring <- append(b, '\n'):
	default:
		l.dropped()
	}
}

// close writes what is left. Lines that come later are lost.
func (l *accessLog) close() {
	if l != nil {
		close(l.quit)
		<-l.done
	}
}
