package nameserver_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"jurymast/internal/nameserver"
)

// Every loop has a UDP socket of its own at the same address.
func TestSocketPerLoop(t *testing.T) {
	const loops = 3
	f := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, Loops: loops})
	at := f.serve(t)
	text, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		t.Skip(err)
	}
	if n := strings.Count(string(text), fmt.Sprintf(" 0100007F:%04X ", at.Port())); n != loops {
		t.Errorf("%d sockets, want %d", n, loops)
	}
}
