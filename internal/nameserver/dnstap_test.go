package nameserver_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "github.com/dnstap/golang-dnstap"
	framestream "github.com/farsightsec/golang-framestream"
	"github.com/miekg/dns"
	"google.golang.org/protobuf/proto"

	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/dnstap"
	"jurymast/internal/nameserver/rrl"
)

// What rate limits drop is an attack, which is when somebody looks: its questions are copied, too.
func TestDnstapTellsOfDroppedQuestions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.tap")
	tap, err := dnstap.Open(dnstap.Options{File: file, Queries: true, Responses: true})
	if err != nil {
		t.Fatal(err)
	}
	f := curbed(t, func(o *nameserver.Options) {
		o.Limits.RRL.Networks, o.Limits.RRL.Slip, o.Dnstap = rrl.Networks{}, 0, tap
	})
	at := f.serve(t)
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at)) // one socket: an answer that is late is counted all the same
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	asked, answered := 0, 0
	hear := func() bool {
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := conn.Read(make([]byte, dns.MaxMsgSize))
		if err == nil {
			answered++
		}
		return err == nil
	}
	for asked-answered < 3 && asked < 60 { // the first few are answered
		pkt, err := query("x.dr.example.", dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(pkt); err != nil {
			t.Fatal(err)
		}
		asked++
		hear()
	}
	if err := f.srv.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for hear() { // what was sent before the end lies in the socket
	}
	if asked == answered {
		t.Fatal("nothing was dropped")
	}
	got := tapMessages(t, file)
	if got[pb.Message_AUTH_QUERY] != asked || got[pb.Message_AUTH_RESPONSE] != answered {
		t.Errorf("%v, want %d questions and %d answers", got, asked, answered)
	}
}

// tapMessages counts the messages of a file.
func tapMessages(t *testing.T, file string) map[pb.Message_Type]int {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // only read
	r, err := framestream.NewReader(in, &framestream.ReaderOptions{ContentTypes: [][]byte{pb.FSContentType}})
	if err != nil {
		t.Fatal(err)
	}
	counts, buf := map[pb.Message_Type]int{}, make([]byte, 1<<17)
	for {
		n, err := r.ReadFrame(buf)
		if errors.Is(err, io.EOF) {
			return counts
		}
		if err != nil {
			t.Fatal(err)
		}
		m := new(pb.Dnstap)
		if err := proto.Unmarshal(buf[:n], m); err != nil {
			t.Fatal(err)
		}
		counts[m.GetMessage().GetType()]++
	}
}
