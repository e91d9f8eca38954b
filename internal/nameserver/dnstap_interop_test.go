//go:build interop && linux

package nameserver_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/dnstap"
	"jurymast/internal/profile"
	"jurymast/internal/testbed"
)

// tapped asks a server that writes dnstap and closes it: 20 questions over UDP, as many over TCP.
func tapped(t *testing.T, o dnstap.Options) {
	t.Helper()
	o.Identity, o.Version, o.Queries, o.Responses = "n1", "jurymast test", true, true
	tap, err := dnstap.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f, ps := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, Dnstap: tap}), standard()
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	at := f.serve(t)
	if o.File == "" {
		time.Sleep(500 * time.Millisecond) // a real program, real time: it is connected to within a turn of the writer
	}
	for range 20 {
		ask(t, "udp", at, query("www.dr.example.", dns.TypeA))
		ask(t, "tcp", at, query("nothing.dr.example.", dns.TypeAAAA))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.srv.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if n := f.counters(t)["dnstap_messages_total what=written"]; n != 80 {
		t.Errorf("%v messages were written, not 80: %v", n, f.counters(t))
	}
}

// readTap is what BIND's reader makes of a file: one line a message.
func readTap(t *testing.T, file string) (lines []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), testbed.Tool(t, "dnstap-read"), file).CombinedOutput()
	if err != nil {
		t.Fatalf("dnstap-read: %v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

func fortyEach(t *testing.T, lines []string) {
	t.Helper()
	counts := map[string]int{}
	for _, l := range lines {
		for _, word := range []string{" AQ ", " AR ", " UDP ", " TCP ", "www.dr.example/IN/A", "nothing.dr.example/IN/AAAA", "127.0.0.0"} {
			if strings.Contains(l, word) {
				counts[word]++
			}
		}
	}
	if len(lines) != 80 || counts[" AQ "] != 40 || counts[" AR "] != 40 || counts[" UDP "] != 40 || counts[" TCP "] != 40 ||
		counts["www.dr.example/IN/A"] != 40 || counts["nothing.dr.example/IN/AAAA"] != 40 || counts["127.0.0.0"] != 80 {
		t.Errorf("%d lines, %v; the first: %q", len(lines), counts, lines[:min(2, len(lines))])
	}
}

// TestInteropDnstapFile: BIND's reader finds every question and answer of a file.
func TestInteropDnstapFile(t *testing.T) {
	testbed.Tool(t, "dnstap-read")
	file := filepath.Join(t.TempDir(), "tap")
	tapped(t, dnstap.Options{File: file})
	fortyEach(t, readTap(t, file))
}

// TestInteropDnstapCollector: fstrm's collector takes them over a unix socket, and over TCP.
func TestInteropDnstapCollector(t *testing.T) {
	capture := testbed.Tool(t, "fstrm_capture")
	testbed.Tool(t, "dnstap-read")
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "tap") //nolint:usetesting // the name of the test would make the path of a socket too long
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			file, o := filepath.Join(dir, "out"), dnstap.Options{Socket: filepath.Join(dir, "s")}
			args := []string{"-t", "protobuf:dnstap.Dnstap", "-w", file, "-u", o.Socket}
			address := o.Socket
			if network == "tcp" {
				at := freePort(t)
				o, address = dnstap.Options{Address: at.String()}, at.String()
				args = append(args[:4], "-a", at.Addr().String(), "-p", strings.TrimPrefix(at.String(), at.Addr().String()+":"))
			}
			cmd := exec.Command(capture, args...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // it never outlives the test, however that ends
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { _ = cmd.Wait(); close(ended) }() // its file says how it went
			defer func() { _ = cmd.Process.Kill(); <-ended }()
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) { // a real program, real time
				if conn, err := net.DialTimeout(network, address, time.Second); err == nil {
					_ = conn.Close()
					break
				}
				if time.Now().After(end) {
					t.Fatal("fstrm_capture does not listen")
				}
			}
			tapped(t, o)
			_ = cmd.Process.Signal(syscall.SIGTERM) // it writes what it has and ends
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("fstrm_capture does not end")
			}
			fortyEach(t, readTap(t, file))
		})
	}
}
