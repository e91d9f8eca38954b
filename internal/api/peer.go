package api

import (
	"context"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"strings"
	"unicode"
)

type peerKey struct{}

// peer is who holds the other end of a connection.
type peer struct {
	socket bool
	uid    uint32
	known  bool // uid is
}

func withPeer(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return context.WithValue(ctx, peerKey{}, peer{})
	}
	uid, known := peerUID(u)
	return context.WithValue(ctx, peerKey{}, peer{socket: true, uid: uid, known: known})
}

func peerOf(ctx context.Context) peer {
	p, _ := ctx.Value(peerKey{}).(peer)
	return p
}

// byHeader lets a tool on this machine say for whom it acts. It is believed no more than the connection: it stands in
// brackets behind it.
const byHeader = "X-Jurymast-By"

const maxBy = 64 // characters

// actor names who acts, for orders, documents and journal: the user of the socket, or "local" for loopback TCP.
func actor(r *http.Request) string {
	p := peerOf(r.Context())
	who := "local"
	if p.socket {
		who = "socket"
		if p.known {
			who = userName(p.uid)
		}
	}
	if said := printable(r.Header.Get(byHeader), maxBy); said != "" {
		who += " (" + said + ")"
	}
	return who
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil && u.Username != "" {
		return "uid " + id + " (" + printable(u.Username, maxBy) + ")"
	}
	return "uid " + id
}

// printable drops what could forge a line of a log or hide text, and cuts to n characters.
func printable(s string, n int) string {
	var b strings.Builder
	for _, c := range strings.ToValidUTF8(s, "") {
		if n == 0 {
			break
		}
		if unicode.IsPrint(c) {
			b.WriteRune(c)
			n--
		}
	}
	return strings.TrimSpace(b.String())
}
