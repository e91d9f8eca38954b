package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxSocketPath is what fits into a socket address beside the closing zero (unix(7)).
const maxSocketPath = 107

// Listen takes the addresses of the options. An error names the address and what to do about it; nothing stays open
// then.
func (s *Server) Listen(ctx context.Context) (err error) {
	var open []net.Listener
	defer func() {
		if err != nil {
			for _, l := range open {
				_ = l.Close()
			}
		}
	}()
	if s.o.Socket != "" {
		l, err := listenSocket(ctx, s.o.Socket)
		if err != nil {
			return err
		}
		open = append(open, l)
	}
	if s.o.Listen != "" {
		l, err := listenLoopback(ctx, s.o.Listen)
		if err != nil {
			return err
		}
		open = append(open, l)
	}
	s.mu.Lock()
	s.listeners = open
	s.mu.Unlock()
	return nil
}

// listenSocket makes the socket file with mode 0600 from its first moment: the mode is set on the socket before it
// gets a name, so there is no instant in which somebody else could connect and the process-wide umask stays alone.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	where := fmt.Sprintf("node.api.socket: %s", path)
	switch {
	case len(path) > maxSocketPath:
		return nil, fmt.Errorf("%s: the path has %d bytes; allowed: at most %d; choose a shorter one, or a shorter node.data", where, len(path), maxSocketPath)
	case path[0] == '@' || path[0] == 0:
		return nil, fmt.Errorf("%s: an abstract socket has no file mode that would protect it; give a path", where)
	}
	if err := clearStale(ctx, path); err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var bad error
		err := raw.Control(func(fd uintptr) { bad = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, bad)
	}}
	l, err := config.Listen(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: folder %s does not exist; create it", where, filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if err := os.Chmod(path, 0o600); err != nil { // systems that ignore the mode of an unbound socket
		return nil, errors.Join(fmt.Errorf("%s: %w", where, err), l.Close())
	}
	return l, nil
}

// clearStale removes a socket file that nobody answers on, and nothing else.
func clearStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is something else than a socket; move it away, or choose another path")
	}
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return errors.New("another process answers on this socket; stop it, or choose another path")
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = os.Remove(path)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("a socket is there already and cannot be judged: %w; remove it if no node runs", err)
}

// listenLoopback opens the TCP listener, which anybody on this machine may use and nobody else.
func listenLoopback(ctx context.Context, address string) (net.Listener, error) {
	where := "node.api.listen: " + address
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%s: write host:port like 127.0.0.1:9460: %w", where, err)
	}
	if addr, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !addr.Unmap().IsLoopback()) {
		return nil, fmt.Errorf("%s: only addresses of this machine alone (127.0.0.1, [::1], localhost) are allowed until tokens exist; forward the port with ssh -L to reach it from elsewhere", where)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() { // localhost may be anything in /etc/hosts
		_ = l.Close()
		return nil, fmt.Errorf("%s: is %s, which is not this machine alone; write 127.0.0.1 until tokens exist", where, l.Addr())
	}
	return l, nil
}
