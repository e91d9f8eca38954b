package probe

import (
	"net"
	"net/url"
	"strconv"

	"jurymast/internal/profile"
)

// announce makes the probe begin as the proxy's connections to the origin do, when it goes to the port they go to: a
// server that wants a PROXY protocol header hangs up on whoever comes without.
func (s *Spec) announce(e *profile.Endpoint, m *profile.Monitor, origin *url.URL) {
	switch m.Protocol {
	case profile.HTTP, profile.HTTPS, profile.TCP:
	case profile.DNS, profile.Exec:
		return
	}
	if strconv.Itoa(s.Port) == portOf(origin) {
		s.Announce = e.ProxyProtocol
	}
}

// portOf is where the proxy connects.
func portOf(origin *url.URL) string {
	switch {
	case origin == nil:
		return "80"
	case origin.Port() != "":
		return origin.Port()
	case origin.Scheme == "https":
		return "443"
	}
	return "80"
}

// announce sends the header. It fits into an empty socket buffer, so it does not wait.
func (r *run) announce(conn net.Conn) *failure {
	header := r.spec.Announce.Local()
	if header == "" {
		return nil
	}
	if _, err := conn.Write([]byte(header)); err != nil {
		return failed(ClassConnect, "send the PROXY protocol header: %s", cause(err))
	}
	return nil
}
