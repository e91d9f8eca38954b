// Package certificates holds the server certificates of a listener: read from files, picked by the name a client asks
// for, replaced as a whole while connections stand. It listens nowhere and issues nothing.
//
//	files -> Load -> Set (immutable) -> Holder.Set, one atomic pointer -> Holder.Pick for each handshake
package certificates

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"jurymast/internal/profile"
)

// Set is a set of server certificates by name. It is immutable; a nil one is empty.
type Set struct {
	byName map[string]*tls.Certificate // exact names and "*.rest"
	first  *tls.Certificate            // for clients without SNI or with an unknown one
	infos  []Info
}

// Info is what is told of a certificate.
type Info struct {
	File      string   // of the chain
	Names     []string // it is for, addresses among them
	NotBefore time.Time
	NotAfter  time.Time
}

// Fault says why clients refuse the certificate now, "" when they need not.
func (i *Info) Fault(now time.Time) string {
	switch {
	case now.After(i.NotAfter):
		return "it expired on " + i.NotAfter.UTC().Format(time.DateTime) + " UTC; renew it"
	case now.Before(i.NotBefore):
		return "it is not valid before " + i.NotBefore.UTC().Format(time.DateTime) + " UTC; look at the clocks of this machine and of who issued it"
	case len(i.Names) == 0:
		return "it names no host (subject alternative names), so clients that verify refuse it; issue it with the names clients use"
	}
	return ""
}

// Load reads PEM chains and keys. Its error names every file that cannot be used and what to do.
func Load(files []profile.CertificateFiles) (*Set, error) {
	set := &Set{byName: map[string]*tls.Certificate{}}
	var errs []error
	for _, f := range files {
		c, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			errs = append(errs, fmt.Errorf("certificate %s with key %s: %w; both must be readable PEM files, the server's certificate first, and belong together", f.Cert, f.Key, err))
			continue
		}
		if err := set.add(f.Cert, &c); err != nil {
			errs = append(errs, fmt.Errorf("certificate %s: %w", f.Cert, err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return set, nil
}

func (s *Set) add(file string, c *tls.Certificate) error {
	if c.Leaf == nil {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			return fmt.Errorf("%w; issue it again", err)
		}
		c.Leaf = leaf
	}
	info := Info{File: file, Names: append([]string(nil), c.Leaf.DNSNames...), NotBefore: c.Leaf.NotBefore, NotAfter: c.Leaf.NotAfter}
	for _, ip := range c.Leaf.IPAddresses {
		info.Names = append(info.Names, ip.String())
	}
	s.infos = append(s.infos, info)
	for _, name := range c.Leaf.DNSNames {
		name = profile.CanonicalName(name)
		if _, taken := s.byName[name]; !taken { // the first one given wins
			s.byName[name] = c
		}
	}
	if s.first == nil {
		s.first = c
	}
	return nil
}

// Find picks by SNI: the exact name, one wildcard label, else the first certificate; nil when there is none.
func (s *Set) Find(sni string) *tls.Certificate {
	if s == nil {
		return nil
	}
	name := profile.CanonicalName(sni)
	if c := s.byName[name]; c != nil {
		return c
	}
	if _, rest, ok := strings.Cut(name, "."); ok {
		if c := s.byName["*."+rest]; c != nil {
			return c
		}
	}
	return s.first
}

// Infos are those of all certificates, in the order of the files.
func (s *Set) Infos() []Info {
	if s == nil {
		return nil
	}
	return s.infos
}

// ErrNone ends a handshake cleanly.
var ErrNone = errors.New("no certificate is configured for this listener")

// Holder holds the Set in force. The zero value holds none.
type Holder struct {
	set atomic.Pointer[Set]

	// First is asked before the set, when it is there: for certificates that come from elsewhere than files. A nil
	// certificate without an error means that the set decides. It must be given before the first handshake.
	First func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Use replaces all certificates at once; connections that stand keep theirs.
func (h *Holder) Use(s *Set) { h.set.Store(s) }

// Get is the set in force, nil when there is none.
func (h *Holder) Get() *Set { return h.set.Load() }

// Empty reports that no handshake can succeed.
func (h *Holder) Empty() bool { return h.First == nil && h.set.Load().Find("") == nil }

// Pick answers a handshake, as tls.Config.GetCertificate wants it. Its error is First's, or ErrNone.
func (h *Holder) Pick(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if h.First != nil {
		if c, err := h.First(hello); c != nil || err != nil {
			return c, err
		}
	}
	if c := h.set.Load().Find(hello.ServerName); c != nil {
		return c, nil
	}
	return nil, ErrNone
}

// Suites are the TLS 1.2 suites without CBC; TLS 1.3 chooses by itself.
var Suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}
