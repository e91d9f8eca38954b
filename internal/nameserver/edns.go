package nameserver

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"

	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/profile"
)

// EDNS says how the options of questions are treated. The zero value is: cookies offered and not required, client
// subnets of everybody believed, extended errors with texts, 1232 bytes, and nothing told about this server.
type EDNS struct {
	NoCookies      bool         // COOKIE options are ignored
	RequireCookies bool         // over UDP only who has a valid cookie is answered
	CookiesFirst   bool         // who sends a cookie and gets too many answers is told a fresh one instead
	Subnets        SubnetPolicy // whose client subnets are believed
	NSID           string       // bytes told to those who ask which server answers [RFC 5001]; "": none
	NoErrors       bool         // no extended errors [RFC 8914]
	NoErrorText    bool         // their codes only
	UDPSize        int          // bytes, 512..1400, of UDP answers at most and of questions as offered; 0: 1232
	Version        string       // CH TXT of version.bind and version.server; "": REFUSED
	ID             string       // CH TXT of id.server and hostname.bind; "": REFUSED
}

// SubnetPolicy says whose client subnets are believed; the zero value: everybody's.
type SubnetPolicy struct {
	Off  bool
	From []netip.Prefix // of resolvers; empty: everybody's
}

// believes reports that a client subnet from this sender counts.
func (p *SubnetPolicy) believes(from netip.Addr) bool {
	if p.Off || len(p.From) == 0 {
		return !p.Off
	}
	from = from.Unmap().WithZone("")
	for _, prefix := range p.From {
		if prefix.Contains(from) {
			return true
		}
	}
	return false
}

// EDNSOf is what a node's configuration says. name is the node's.
func EDNSOf(front *profile.NameserverFront, name string) EDNS {
	e := EDNS{
		NoCookies:      !front.Cookies.Enabled,
		RequireCookies: front.Cookies.Require == profile.RequireAlways,
		CookiesFirst:   front.Cookies.Require == profile.RequirePressure,
		Subnets:        SubnetPolicy{Off: front.ECS.Rule == profile.ECSOff},
		NoErrors:       front.EDE == profile.Off,
		NoErrorText:    front.EDEText == profile.Off,
		UDPSize:        front.UDPSize,
		Version:        front.Chaos.Version,
		ID:             front.Chaos.ID,
	}
	for _, text := range front.ECS.From {
		if prefix, err := profile.Network(text); err == nil { // checked with the file
			e.Subnets.From = append(e.Subnets.From, prefix)
		}
	}
	switch front.NSID {
	case profile.NSIDOff:
	case profile.NSIDAuto:
		sum := sha256.Sum256([]byte(name))
		e.NSID = hex.EncodeToString(sum[:nsidBytes])
	default:
		e.NSID = front.NSID
	}
	return e
}

// nsidBytes of a hash tell two nodes of one cluster apart and do not tell their names.
const nsidBytes = 4

// manners are the settings of a Server as its responders use them: shared and never changed.
type manners struct {
	EDNS
	jar     *cookie.Jar
	nsid    []byte
	udpSize int
	now     func() uint32 // seconds since 1970
	chaos   [2]chaos
}

func mannersOf(e EDNS, jar *cookie.Jar) *manners {
	m := &manners{EDNS: e, jar: jar, udpSize: e.UDPSize, now: func() uint32 { return uint32(time.Now().Unix()) }} //nolint:gosec // modulo 2^32, as cookies count
	if m.jar == nil {
		m.jar = cookie.NewJar(cookie.Secrets{Issue: cookie.NewSecret()})
	}
	if m.udpSize == 0 {
		m.udpSize = udpSize
	}
	if e.NSID != "" {
		m.nsid = []byte(e.NSID)
	}
	m.chaos = chaosOf(e.Version, e.ID)
	return m
}

// greet looks at the question's cookie. state is cookie.None when there is none, or cookies are off.
func (a *responder) greet(from netip.Addr) (state cookie.State) {
	a.cookie = a.cookie[:0]
	if a.q.Cookie == nil || a.set.NoCookies {
		return cookie.None
	}
	a.cookie, state = a.set.jar.Answer(a.cookie, a.q.Client(), a.q.Server(), from, a.set.now())
	a.greeted = state
	return state
}

// padBlock is what answers are padded to, in bytes [RFC 8467 4.1].
const padBlock = 468

// options are what goes back in OPT whatever the answer is, but for an answer about the EDNS version.
func (a *responder) options(stream bool) wire.Options {
	o := wire.Options{Codes: a.set.NoErrorText}
	if len(a.cookie) > 0 {
		o.Cookie = a.cookie
	}
	if a.q.Seen&wire.SeenNSID != 0 {
		o.NSID = a.set.nsid
	}
	if stream && a.keepalive > 0 && a.q.Seen&wire.SeenKeepalive != 0 {
		o.Keepalive, o.Idle = true, a.keepalive
	}
	if a.via.Encrypted() && a.q.Seen&wire.SeenPadding != 0 {
		o.Block = padBlock
	}
	return o
}
