package nameserver

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
)

// keyed reads like TLS: a record that begins with k holds a new key and nothing to read.
type keyed struct{ *records }

func (k keyed) Read(p []byte) (int, error) {
	for {
		var record [recordHead + 2]byte
		for n := 0; n < len(record); {
			m, err := k.records.Read(record[n:])
			if err != nil {
				return 0, err
			}
			n += m
		}
		if record[recordHead] != 'k' {
			return copy(p, record[recordHead:]), nil
		}
	}
}

// A record without anything to read does not hold up the answers: who sends it may be waiting for them.
func TestReadAheadNeverWaits(t *testing.T) {
	record := func(data string) string { return "\x17\x03\x03\x00\x02" + data }
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer func() { _, _ = ours.Close(), theirs.Close() }()
		r := &records{Conn: ours}
		in := bufio.NewReaderSize(keyed{r}, 64)
		go func() { _, _ = theirs.Write([]byte(record("q1") + record("q2") + record("k1"))) }()
		if b, err := in.Peek(2); err != nil || string(b) != "q1" {
			t.Fatalf("%q, %v", b, err)
		}
		if !r.ahead(in) || r.ahead(in) || r.ahead(in) || in.Buffered() != 4 {
			t.Fatalf("%d bytes are there, not both questions", in.Buffered())
		}
		if _, err := in.Discard(4); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = theirs.Write([]byte(record("q3"))) }()
		if b, err := in.Peek(2); err != nil || string(b) != "q3" {
			t.Errorf("what comes later is not read: %q, %v", b, err)
		}
	})
	if (*records)(nil).ahead(bufio.NewReader(&bytes.Buffer{})) {
		t.Error("without TLS there are no records")
	}
	if _, err := (&records{here: true}).Read(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err) // TLS takes any other error for the end of the connection
	}
}
