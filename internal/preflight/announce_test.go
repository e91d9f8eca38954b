package preflight

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"

	"jurymast/internal/profile"
)

// An origin that wants the PROXY protocol is asked as the proxy asks it; without the header it hangs up.
func TestAnEndpointThatWantsTheProxyProtocol(t *testing.T) {
	s := httptest.NewUnstartedServer(status(200))
	s.Listener = &proxyproto.Listener{Listener: s.Listener} // which requires it
	s.Start()
	t.Cleanup(s.Close)
	endpoint := "target: 127.0.0.1, origin: \"" + s.URL + "\""
	for _, v := range profile.OriginHeader.Allowed("") {
		list := run(t, one(t, "p.dr.example", endpoint+", proxy_protocol: "+v, "path: /health"), Tools{})
		if accepted := with(list, NameAccepted) != nil; accepted != strings.HasPrefix(v, "v") {
			t.Errorf("%s: accepted %v", v, accepted)
		}
	}
}
