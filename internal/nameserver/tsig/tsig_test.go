package tsig_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/tsig"
)

var secret = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

func key(t testing.TB, name, algorithm string) *tsig.Key {
	t.Helper()
	k, err := tsig.NewKey(name, algorithm, secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func question(t testing.TB) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion("example.org.", dns.TypeSOA)
	m.SetEdns0(1232, false)
	return packed(t, m)
}

func packed(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func find(t testing.TB, msg []byte) int {
	t.Helper()
	at, err := tsig.Find(msg)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestAgainstLibrary signs with one side and verifies with the other, questions and answers, with every algorithm.
func TestAgainstLibrary(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, algorithm := range []string{"hmac-sha256", "hmac-sha384", "hmac-sha512"} {
		k := key(t, "xfr.example.org", algorithm)
		ring := tsig.NewRing(k)
		m := new(dns.Msg).SetQuestion("Example.org.", dns.TypeSOA)
		m.SetTsig("XFR.example.org.", algorithm+".", 300, now.Unix())
		asked, mac, err := dns.TsigGenerate(m, secret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ring.Verify(asked, find(t, asked), now)
		if err != nil || s.Err != tsig.NoError || s.Key() != "xfr.example.org" {
			t.Fatalf("%s: %v, %v", algorithm, err, s)
		}
		for i := range 3 { // a stream of answers
			reply := packed(t, new(dns.Msg).SetReply(m))
			before := len(reply)
			reply = s.Sign(reply, now)
			if len(reply)-before > s.Len() {
				t.Errorf("%s: signature of %d bytes, told %d", algorithm, len(reply)-before, s.Len())
			}
			next := find(t, reply)
			if err := dns.TsigVerify(append([]byte(nil), reply...), secret, mac, i > 0); err != nil {
				t.Fatalf("%s: answer %d: %v", algorithm, i, err)
			}
			parsed := new(dns.Msg)
			if err := parsed.Unpack(reply); err != nil || next == 0 {
				t.Fatal(err)
			}
			mac = parsed.IsTsig().MAC
		}
		signed, ours := k.Ask(question(t), now)
		parsed := new(dns.Msg)
		if err := parsed.Unpack(signed); err != nil {
			t.Fatal(err)
		}
		if err := dns.TsigVerify(append([]byte(nil), signed...), secret, "", false); err != nil {
			t.Fatalf("%s: our question: %v", algorithm, err)
		}
		back := new(dns.Msg).SetReply(parsed)
		back.SetTsig("xfr.example.org.", algorithm+".", 300, now.Unix())
		answer, _, err := dns.TsigGenerate(back, secret, parsed.IsTsig().MAC, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Check(answer, now); err != nil || !ours.Ended() {
			t.Fatalf("%s: the answer to our question: %v", algorithm, err)
		}
	}
}

// TestErrors are the forms of refusal [RFC 8945 5.2, 5.3.2].
func TestErrors(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	k := key(t, "xfr", "hmac-sha256")
	other, err := tsig.NewKey("xfr", "hmac-sha256", base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 32))))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		ring   *tsig.Ring
		late   time.Duration
		cut    int
		want   tsig.Error
		format bool
		mac    bool
	}{
		{name: "fine", ring: tsig.NewRing(k), want: tsig.NoError, mac: true},
		{name: "just in time", ring: tsig.NewRing(k), late: 300 * time.Second, want: tsig.NoError, mac: true},
		{name: "late", ring: tsig.NewRing(k), late: 301 * time.Second, want: tsig.BadTime, mac: true},
		{name: "early", ring: tsig.NewRing(k), late: -301 * time.Second, want: tsig.BadTime, mac: true},
		{name: "no keys", ring: nil, want: tsig.BadKey},
		{name: "other key", ring: tsig.NewRing(key(t, "yfr", "hmac-sha256")), want: tsig.BadKey},
		{name: "other algorithm", ring: tsig.NewRing(key(t, "xfr", "hmac-sha512")), want: tsig.BadKey},
		{name: "other secret", ring: tsig.NewRing(other), want: tsig.BadSig},
		{name: "other secret and late", ring: tsig.NewRing(other), late: time.Hour, want: tsig.BadSig},
		{name: "cut", ring: tsig.NewRing(k), cut: 16, want: tsig.BadTrunc, mac: true},
		{name: "cut too much", ring: tsig.NewRing(k), cut: 17, format: true},
		{name: "without", ring: tsig.NewRing(k), cut: 32, format: true},
	} {
		asked, _ := k.Ask(question(t), now)
		asked = shorten(asked, find(t, asked), c.cut)
		s, err := c.ring.Verify(asked, find(t, asked), now.Add(c.late))
		if c.format {
			if !errors.Is(err, tsig.ErrFormat) {
				t.Errorf("%s: %v, want a format error", c.name, err)
			}
			continue
		}
		if err != nil || s.Err != c.want {
			t.Errorf("%s: %v, %v, want %v", c.name, s.Err, err, c.want)
			continue
		}
		if (s.Key() != "") != (c.want == tsig.NoError) {
			t.Errorf("%s: taken for %q", c.name, s.Key())
		}
		m := new(dns.Msg)
		if err := m.Unpack(asked); err != nil {
			t.Fatal(err)
		}
		reply := s.Sign(packed(t, new(dns.Msg).SetRcode(m, dns.RcodeNotAuth)), now.Add(c.late))
		got := new(dns.Msg)
		if err := got.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		ts := got.IsTsig()
		if ts == nil || ts.Error != uint16(c.want) || (ts.MACSize > 0) != c.mac || ts.Hdr.Name != "xfr." || ts.OrigId != m.Id {
			t.Errorf("%s: answered %v", c.name, ts)
		}
		if c.want == tsig.BadTime {
			raw := fmt.Sprintf("%012x", now.Add(c.late).Unix())
			if ts.TimeSigned != uint64(now.Unix()) || ts.OtherLen != 6 || ts.OtherData != raw {
				t.Errorf("%s: answered %v, want our time %s beside theirs", c.name, ts, raw)
			}
		}
	}
}

// shorten cuts bytes off the MAC of a message signed with hmac-sha256.
func shorten(msg []byte, at, cut int) []byte {
	if cut == 0 {
		return msg
	}
	out := append([]byte(nil), msg...)
	owner := 5
	head := at + owner + 8
	binary.BigEndian.PutUint16(out[head:], binary.BigEndian.Uint16(out[head:])-uint16(cut))
	size := head + 2 + 13 + 8
	binary.BigEndian.PutUint16(out[size:], binary.BigEndian.Uint16(out[size:])-uint16(cut))
	end := size + 2 + 32
	return append(out[:end-cut], out[end:]...)
}

// TestStreamWithUnsignedMessages: between signed messages of an answer others may come [RFC 8945 5.3.1], and none of them
// may be changed.
func TestStreamWithUnsignedMessages(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	k := key(t, "xfr", "hmac-sha256")
	for _, broken := range []bool{false, true} {
		asked, ours := k.Ask(question(t), now)
		theirs, err := tsig.NewRing(k).Verify(asked, find(t, asked), now)
		if err != nil {
			t.Fatal(err)
		}
		plain := question(t)
		if _, err := ours.Check(plain, now); !errors.Is(err, tsig.ErrUnsigned) {
			t.Fatalf("the first message of an answer was taken unsigned: %v", err)
		}
		if _, err := ours.Check(theirs.Sign(append([]byte(nil), plain...), now), now); err != nil {
			t.Fatal(err)
		}
		signed := theirs.Sign(append([]byte(nil), plain...), now)
		if broken {
			signed[2] ^= 4
		}
		_, err = ours.Check(signed, now)
		if (err != nil) != broken || broken && !errors.Is(err, tsig.BadSig) {
			t.Errorf("broken %t: %v", broken, err)
		}
		if !broken {
			if _, err := ours.Check(plain, now); err != nil || ours.Ended() {
				t.Errorf("an unsigned message in between: %v; it may not be the last", err)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, algorithm, secret, want string }{
		{"k", "hmac-sha256", "!!!", "not base64"},
		{"k", "hmac-sha256", "c2hvcnQ=", "5 bytes"},
		{"k", "hmac-md5", secret, "hmac-md5"},
		{"a..b", "hmac-sha256", secret, "a..b"},
	} {
		if _, err := tsig.NewKey(c.name, c.algorithm, c.secret); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c, err)
		}
	}
	k := key(t, "k", "hmac-sha256")
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v", k, k, k)} {
		if strings.Contains(text, "0123456789") || strings.Contains(text, secret) || strings.Contains(text, "[48 49") {
			t.Errorf("shows its secret: %s", text)
		}
	}
	if tsig.NewRing(k).Find("K.") != k || tsig.NewRing(k).Find("l") != nil || (*tsig.Ring)(nil).Find("k") != nil {
		t.Error("a key is not found by its name")
	}
}

// FuzzVerify: whatever comes, nothing breaks, and only what was signed with the key is authentic.
func FuzzVerify(f *testing.F) {
	k, err := tsig.NewKey("xfr", "hmac-sha256", secret)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	asked, _ := k.Ask(question(f), now)
	f.Add(asked)
	f.Add(question(f))
	f.Fuzz(func(t *testing.T, msg []byte) {
		at, err := tsig.Find(msg)
		if err != nil || at == 0 {
			return
		}
		s, err := tsig.NewRing(k).Verify(msg, at, now)
		if err != nil {
			return
		}
		if s.Err == tsig.NoError && string(msg[:at]) != string(asked[:find(t, asked)]) && string(msg[2:at]) != string(asked[2:find(t, asked)]) {
			t.Fatalf("taken for authentic: %x", msg)
		}
		_ = s.Sign(append([]byte(nil), msg[:at]...), now)
	})
}
