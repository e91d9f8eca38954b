package probe

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"jurymast/internal/profile"
)

func TestWhichProbesAnnounceThemselves(t *testing.T) {
	for _, tc := range []struct {
		header   profile.OriginHeader
		origin   string
		protocol profile.Protocol
		port     int
		want     uint8
	}{
		{"", "http://h", profile.HTTP, 0, 0},
		{profile.ProxyProtocolOff, "http://h", profile.HTTP, 0, 0},
		{profile.ProxyProtocolV1, "http://h", profile.HTTP, 0, 1},
		{profile.ProxyProtocolV2, "https://h", profile.HTTPS, 0, 2},
		{profile.ProxyProtocolV2, "https://h:8443", profile.TCP, 8443, 2},
		{profile.ProxyProtocolV2, "https://h:8443", profile.HTTP, 9000, 0}, // a port of its own for health
		{profile.ProxyProtocolV1, "", profile.HTTP, 0, 1},
		{profile.ProxyProtocolV1, "", profile.HTTPS, 0, 0}, // port 443; the proxy goes to 80
		{profile.ProxyProtocolV1, "http://h:53", profile.DNS, 0, 0},
	} {
		p, e := service()
		e.Target = profile.Target{Host: "t"}
		e.ProxyProtocol, e.Origin, e.Monitor.Protocol, e.Monitor.Port = tc.header, tc.origin, tc.protocol, tc.port
		s, err := SpecOf(p, e, Node{Secrets: vault(nil)})
		if err != nil || s.Announce.Version() != tc.want {
			t.Errorf("%+v: %s, %v", tc, s.Announce, err)
		}
		plain := s
		plain.Announce = ""
		if (plain.Key() == s.Key()) != (tc.want == 0) || strings.Contains(s.String(), fmt.Sprintf("PROXY protocol v%d", tc.want)) != (tc.want != 0) {
			t.Errorf("%+v: key or text do not tell: %s", tc, s)
		}
	}
}

// A server that wants the header gets one that says: this is not a client's connection.
func TestProbesAnnounceThemselves(t *testing.T) {
	for _, header := range []profile.OriginHeader{profile.ProxyProtocolV1, profile.ProxyProtocolV2} {
		l := listen(t)
		seen := make(chan string, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			h, err := proxyproto.Read(r)
			if err != nil {
				seen <- err.Error()
				return
			}
			line, err := r.ReadString('\n')
			seen <- fmt.Sprint(h.Version, h.Command.IsLocal(), line, err)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}()
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			t.Fatal(l.Addr())
		}
		spec := Spec{
			Protocol: profile.HTTP, Targets: []string{"127.0.0.1"}, Port: addr.Port, Timeout: 5 * time.Second, Announce: header,
			Method: "GET", Path: "/", Host: "h", Expect: Expect{Status: []profile.StatusRange{{Min: 200, Max: 200}}},
		}
		if result := (&Prober{}).Run(t.Context(), spec); !result.Obs.OK {
			t.Errorf("%s: %+v", header, result)
		}
		if got, want := <-seen, fmt.Sprint(header.Version(), true, "GET / HTTP/1.1\r\n", nil); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
