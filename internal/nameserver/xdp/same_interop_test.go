//go:build interop && linux

package xdp_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/xdp"
)

// Whatever is asked for and whatever is known, the program sends the bytes that the sockets' writer makes, or nothing.
func TestInteropSameBytes(t *testing.T) {
	table := load(t, xdp.Options{Answers: 1, Slots: 1, UDPSize: 1232, Addresses: []netip.Addr{server4, server6}})
	label := rapid.SliceOfN(rapid.OneOf(rapid.ByteRange('A', 'z'), rapid.Byte()), 1, 20)
	rapid.Check(t, func(t *rapid.T) {
		var name, owner []byte
		for _, l := range rapid.SliceOfN(label, 0, 5).Draw(t, "labels") {
			if len(name)+len(l)+2 > xdp.MaxName {
				break
			}
			name = append(append(name, byte(len(l))), l...)
		}
		name = append(name, 0)
		for _, c := range name { // known in any case
			if c >= 'a' && c <= 'z' && rapid.Bool().Draw(t, "upper") {
				c -= 'a' - 'A'
			}
			owner = append(owner, c)
		}
		qtype := rapid.SampledFrom([]uint16{1, 28, 16, 5, 257}).Draw(t, "type")
		data := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 16), 1, 4).Draw(t, "data")
		if qtype == 5 {
			data = [][]byte{append([]byte{1, 'x'}, name...)} // the target is compressed to the question
			if len(data[0]) > 60 {
				data = [][]byte{{1, 'x', 0}}
			}
		}
		msg := append([]byte{1, 2, rapid.SampledFrom([]byte{0, 1}).Draw(t, "rd"), rapid.SampledFrom([]byte{0, 0x10, 0x20, 0x30}).Draw(t, "ad cd"), 0, 1, 0, 0, 0, 0, 0, 0}, name...)
		msg = append(msg, byte(qtype>>8), byte(qtype), 0, 1)
		edns, do := rapid.Bool().Draw(t, "edns"), rapid.Bool().Draw(t, "do")
		if edns {
			msg = withOPT(msg, do)
		}
		var q wire.Query
		if outcome := q.Parse(msg); outcome != wire.OK {
			t.Fatalf("outcome %d", outcome)
		}
		var w wire.Writer
		w.Begin(nil, &q, 1232)
		w.RRset(wire.Answer, owner, qtype, 30, data, 0)
		records := bytes.Clone(w.Finish(&q, wire.FlagAA, 0)[12+len(q.Question):])
		if edns {
			w.OPT(0, 1232, q.DO, &wire.Options{})
		}
		want := w.Finish(&q, wire.FlagAA, 0)

		if err := table.Clear(); err != nil {
			t.Fatal(err)
		}
		if err := table.Publish(owner, qtype, xdp.Answer{Records: records, Count: uint16(len(data)), Unsigned: true}); err != nil {
			t.Fatal(err)
		}
		frame := frame4(msg)
		if rapid.Bool().Draw(t, "v6") {
			frame = frame6(msg)
		}
		verdict, out := table.Try(t, frame)
		if verdict != xdp.VerdictSend {
			t.Fatalf("verdict %d", verdict)
		}
		if got := unwrap(t, out); !bytes.Equal(got, want) {
			t.Fatalf("%swant\n%s", hex.Dump(got), hex.Dump(want))
		}
	})
}
