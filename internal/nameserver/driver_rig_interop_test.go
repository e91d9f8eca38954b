//go:build interop && linux

package nameserver_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"jurymast/internal/nameserver/xdp"
	"jurymast/internal/testbed"
)

var (
	wired4 = netip.MustParseAddrPort("192.0.2.1:53")
	wired6 = netip.MustParseAddrPort("[2001:db8::1]:53")
)

// cable joins two network namespaces: the server's, in which a process of its own is to run, and that of clients.
type cable struct {
	*testbed.Cable

	t *testing.T
}

func newCable(t *testing.T) *cable {
	t.Helper()
	testbed.Tool(t, "ip")
	c := &cable{Cable: testbed.NewCable(t), t: t}
	// A virtual cable sends what a driver answers only if there is a program at its other end, too.
	peer, err := xdp.Load(xdp.Options{Answers: 1, Slots: 1, UDPSize: 1232, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.9")}})
	if err != nil {
		testbed.Refused(t, err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	testbed.Within(t, c.Client, func() error {
		card, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		return peer.Attach(card.Index)
	})
	return c
}

// dial from one of the namespaces.
func (c *cable) dial(namespace string, to netip.AddrPort) (conn net.Conn) {
	c.t.Helper()
	testbed.Within(c.t, namespace, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(context.Background(), "udp", to.String())
		return err
	})
	c.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// exchange one message for what comes back.
func exchange(conn net.Conn, q []byte) ([]byte, error) {
	if _, err := conn.Write(q); err != nil {
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	in := make([]byte, 2000)
	for {
		n, err := conn.Read(in)
		if err != nil {
			return nil, err
		}
		if n >= 2 && in[0] == q[0] && in[1] == q[1] {
			return in[:n], nil
		}
	}
}

// wiredServer is a nameserver in a process of its own behind the cable; see TestInteropDriverServer.
type wiredServer struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// serverVar makes the test binary a server with the driver at these interfaces.
const serverVar = "JURYMAST_DRIVER_SERVER"

func (c *cable) start(interfaces string, wrapper ...string) *wiredServer {
	c.t.Helper()
	return c.launch("TestInteropDriverServer", serverVar+"="+interfaces, wrapper...)
}

// launch makes the test binary a server by one of its tests and a variable.
func (c *cable) launch(test, variable string, wrapper ...string) *wiredServer {
	c.t.Helper()
	args := append([]string{"netns", "exec", c.Server}, wrapper...)
	args = append(args, os.Args[0], "-test.run=^"+test+"$", "-test.v=false")
	s := &wiredServer{t: c.t, cmd: exec.Command("ip", args...)}
	s.cmd.Env = append(os.Environ(), variable)
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	s.out = bufio.NewScanner(out)
	s.out.Buffer(nil, 64<<20)
	if err := s.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(s.kill)
	return s
}

// kill is kill -9; `ip netns exec` has become the server.
func (s *wiredServer) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// do has the server do something and decodes what it says.
func (s *wiredServer) do(order string, into any) {
	s.t.Helper()
	if _, err := io.WriteString(s.in, order+"\n"); err != nil {
		s.t.Fatal(err)
	}
	if !s.out.Scan() {
		s.t.Fatalf("%s: the server says nothing: %v", order, errors.Join(s.out.Err(), s.cmd.Wait()))
	}
	if err := json.Unmarshal(s.out.Bytes(), into); err != nil {
		s.t.Fatalf("%s: %v: %s", order, err, s.out.Bytes())
	}
}
