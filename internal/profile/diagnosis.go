package profile

import (
	"net/netip"
	"slices"
	"time"
)

// Messages of dnstap.
const (
	AuthQuery    = "auth_query"
	AuthResponse = "auth_response"
)

const maxTapText = 255 // bytes of identity and version

// Dnstap copies questions and answers as they are on the wire to a collector. One of Socket, Address and File names it;
// none of them: off.
type Dnstap struct {
	Socket      string   `yaml:"socket"`  // unix socket
	Address     string   `yaml:"address"` // host:port over TCP
	File        string   `yaml:"file"`
	Identity    string   `yaml:"identity"` // "": the node's name
	Version     string   `yaml:"version"`  // "": that of the program
	Messages    []string `yaml:"messages"` // AuthQuery, AuthResponse
	FullAddress bool     `yaml:"full_address"`
}

// Off reports that nobody is told.
func (d *Dnstap) Off() bool { return d.Socket == "" && d.Address == "" && d.File == "" }

// DNSAlarms say from when on questions are odd enough to tell an operator. Shares are percent of the questions of the
// last minute; 0 never raises.
type DNSAlarms struct {
	MinQueries   int           `yaml:"min_queries"`   // of a minute, below which no share is judged
	UnknownTypes int           `yaml:"unknown_types"` // percent asking for types without a name
	NXDomain     int           `yaml:"nxdomain"`      // percent for names that are not there
	Network      int           `yaml:"network"`       // percent from one IPv4 /24 or IPv6 /56
	Malformed    int           `yaml:"malformed"`     // percent that are no questions
	Refused      int           `yaml:"refused"`       // a second, for zones that are not ours
	Signatures   time.Duration `yaml:"signatures"`    // left of the signature that expires first
	ClearAfter   time.Duration `yaml:"clear_after"`   // below three quarters of the mark
}

func defaultDNSAlarms() DNSAlarms {
	return DNSAlarms{
		MinQueries: 600, UnknownTypes: 20, NXDomain: 50, Network: 80, Malformed: 10, Refused: 100,
		Signatures: 48 * time.Hour, ClearAfter: 2 * time.Minute,
	}
}

func validateDnstap(r *report, a *at, d *Dnstap) {
	var named []string
	for _, f := range []struct{ key, text string }{{"socket", d.Socket}, {"address", d.Address}, {"file", d.File}} {
		if f.text != "" {
			named = append(named, f.key)
		}
	}
	if len(named) > 1 {
		r.errorf(a.child(named[1]), "messages go to one place, and %s is written too; leave one of them out", named[0])
	}
	if d.Address != "" {
		host, port, ok := cutPort(d.Address)
		_, err := netip.ParseAddrPort("127.0.0.1:" + port)
		if !ok || host == "" || err != nil || port == "0" {
			r.errorf(a.child("address"), "%q is no host:port; write the collector's address like collector.example:6000 or [2001:db8::1]:6000", d.Address)
		}
	}
	for _, f := range []struct{ key, text string }{{"identity", d.Identity}, {"version", d.Version}} {
		if f.text != "" {
			r.fault(a.child(f.key), f.text, shownTextFault(f.text, maxTapText, "; write a short word, or leave it out"))
		}
	}
	list := a.child("messages")
	if len(d.Messages) == 0 {
		r.errorf(list, "is empty; allowed: %s, %s", AuthQuery, AuthResponse)
	}
	seen := unique{}
	for i, word := range d.Messages {
		if !slices.Contains([]string{AuthQuery, AuthResponse}, word) {
			r.errorf(list.element(i), "%q is no message of a name server; allowed: %s, %s", word, AuthQuery, AuthResponse)
			continue
		}
		seen.add(r, list.element(i), "the message", word)
	}
}

func validateDNSAlarms(r *report, a *at, d *DNSAlarms) {
	r.between(a.child("min_queries"), d.MinQueries, 1, 1_000_000_000)
	r.between(a.child("unknown_types"), d.UnknownTypes, 0, 100)
	r.between(a.child("nxdomain"), d.NXDomain, 0, 100)
	r.between(a.child("network"), d.Network, 0, 100)
	r.between(a.child("malformed"), d.Malformed, 0, 100)
	r.between(a.child("refused"), d.Refused, 0, 1_000_000_000)
	r.lasts(a.child("signatures"), d.Signatures, 0, 30*24*time.Hour)
	r.lasts(a.child("clear_after"), d.ClearAfter, 10*time.Second, 24*time.Hour)
}
