package trace

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/question"
)

const (
	resolvedMonitor = "/run/systemd/resolve/io.systemd.Resolve.Monitor"
	dumpCache       = "io.systemd.Resolve.Monitor.DumpCache" // since systemd 254; for root
	maxDump         = 64 << 20                               // bytes
	dumpPatience    = 3 * time.Second
)

// dump is the answer of systemd-resolved over varlink.
type dump struct {
	Error      string `json:"error"`
	Parameters struct {
		Dump []struct {
			Protocol string `json:"protocol"`
			Ifname   string `json:"ifname"`
			Cache    []struct {
				Key struct {
					Type uint16 `json:"type"`
					Name string `json:"name"`
				} `json:"key"`
				Rrs []struct {
					Raw string `json:"raw"`
				} `json:"rrs"`
				Type  string `json:"type"`  // of a denial: nxdomain, nodata
				Until uint64 `json:"until"` // microseconds since the host's start
			} `json:"cache"`
		} `json:"dump"`
	} `json:"parameters"`
}

// resolved reads the cache of systemd-resolved, which has one for every server it asks on every link.
func (t *tracer) resolved(ctx context.Context) (out []Holder) {
	socket := filepath.Join(t.o.Root, resolvedMonitor)
	if _, err := os.Stat(socket); err != nil {
		return nil
	}
	d, err := readDump(ctx, socket)
	if err != nil {
		return []Holder{{
			Kind: "systemd-resolved", Source: resolvedMonitor, Address: resolvedMonitor, State: Unknown, Cached: "unknown",
			Trouble: fmt.Sprintf("its cache cannot be read (%v); that needs root and systemd 254", err),
			Note:    "its answer to a question is among the resolvers; resolvectl flush-caches empties it",
		}}
	}
	up, err := t.uptime()
	if err != nil {
		return nil
	}
	for _, scope := range d.Parameters.Dump {
		if scope.Protocol != "" && scope.Protocol != "dns" {
			continue
		}
		m := &dns.Msg{}
		m.Response = true
		for _, item := range scope.Cache {
			left := uint32(max(0, int64(item.Until)-up.Microseconds()) / 1e6) //nolint:gosec // years at most
			for _, rr := range item.Rrs {
				if one := unpacked(rr.Raw, left); one != nil {
					m.Answer = append(m.Answer, one)
				}
			}
			if len(item.Rrs) == 0 && item.Key.Type == t.typ && dns.CanonicalName(item.Key.Name) == t.name {
				m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: t.name, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: left}, Minttl: left}}
				if strings.EqualFold(item.Type, "nxdomain") {
					m.Rcode = dns.RcodeNameError
				}
			}
		}
		link := scope.Ifname
		if link == "" {
			link = "all links"
		}
		path, open := pathOf(m, t.name, t.typ)
		h := Holder{Kind: "systemd-resolved", Source: resolvedMonitor, Address: link, Cached: "yes"}
		t.judge(&h, path, open, time.Now())
		out = append(out, h)
	}
	return out
}

func readDump(ctx context.Context, socket string) (*dump, error) {
	ctx, cancel := context.WithTimeout(ctx, dumpPatience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, question.Plain(err)
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end) // fails on a closed socket only
	}
	if _, err := conn.Write([]byte(`{"method":"` + dumpCache + `","parameters":{}}` + "\x00")); err != nil {
		return nil, question.Plain(err)
	}
	var d dump // JSON ends by itself; the zero byte behind it is not waited for
	if err := json.NewDecoder(io.LimitReader(conn, maxDump)).Decode(&d); err != nil {
		return nil, errors.New("its answer cannot be read")
	}
	if d.Error != "" {
		return nil, errors.New(d.Error)
	}
	return &d, nil
}

func unpacked(raw string, left uint32) dns.RR {
	wire, err := base64.StdEncoding.DecodeString(raw)
	if err != nil {
		return nil
	}
	rr, _, err := dns.UnpackRR(wire, 0)
	if err != nil {
		return nil
	}
	rr.Header().Ttl = left
	return rr
}

// uptime is the time since the host's start, which systemd counts in.
func (t *tracer) uptime() (time.Duration, error) {
	text, err := t.read("/proc/uptime")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	s, err := strconv.ParseFloat(first, 64)
	return time.Duration(s * float64(time.Second)), err
}
