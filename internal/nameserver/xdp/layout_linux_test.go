package xdp

import (
	"encoding/binary"
	"strings"
	"testing"
)

func TestKey(t *testing.T) {
	got, err := makeKey([]byte("\x03wWw\x04Z[\xC1a\x00"), 28)
	if want := "\x03www\x04z[\xC1a\x00\x00\x1C\x00\x01"; err != nil || string(got[:len(want)]) != want || strings.Trim(string(got[len(want):]), "\x00") != "" {
		t.Errorf("key %q, %v; want %q and zeros", got, err, want)
	}
	for qtype, good := range map[uint16]bool{1: true, 28: true, 64: true, 65: false, 97: false, 122: false, 123: true, 257: true} {
		if _, err := makeKey([]byte{0}, qtype); (err == nil) != good {
			t.Errorf("type %d: %v", qtype, err)
		}
	}
	if _, err := makeKey(make([]byte, MaxName), 1); err != nil {
		t.Error(err)
	}
	if _, err := makeKey(make([]byte, MaxName+1), 1); err == nil {
		t.Error("a name beyond the table got a key")
	}
}

// The numbers of the head tell what the program reads behind it.
func TestRecord(t *testing.T) {
	records := strings.Repeat("\xC0\x0C\xFF\xFF", MaxRecords/4-1) + "\x01\x02\x03"
	rec, err := makeRecord(Answer{Records: []byte(records), Count: 300, Slot: 1 << 20, Unsigned: true}, 1400)
	if err != nil {
		t.Fatal(err)
	}
	n := int(binary.LittleEndian.Uint16(rec[recLen:]))
	opt := "\x00\x00\x29\x05\x78\x00\x00\x00\x00\x00\x00"
	if got := string(rec[recordHead : recordHead+n+optSize]); got != records+opt {
		t.Errorf("data %q", got)
	}
	if binary.BigEndian.Uint16(rec[recCount:]) != 300 || binary.LittleEndian.Uint32(rec[recSlot:]) != 1<<20 || rec[recUnsigned] != 1 {
		t.Errorf("head % x", rec[:recordHead])
	}
	for at, text := range map[int]string{recSum: records, recSumOPT: records + opt} {
		var want uint32
		for i, c := range []byte(text) {
			want = (want + uint32(c)<<(8*(i%2))) % 0xFFFF // the ring this sum is in
		}
		if got := uint32(binary.LittleEndian.Uint16(rec[at:])); got%0xFFFF != want {
			t.Errorf("sum %04x, want %04x", got, want)
		}
	}
	for _, a := range []Answer{{}, {Records: []byte{1}}, {Count: 1}, {Records: make([]byte, MaxRecords+1), Count: 1}} {
		if _, err := makeRecord(a, 1232); err == nil {
			t.Errorf("%d bytes in %d records became one", len(a.Records), a.Count)
		}
	}
}
