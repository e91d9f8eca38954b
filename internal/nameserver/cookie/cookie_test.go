package cookie_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"jurymast/internal/nameserver/cookie"
)

const (
	secretA = "e5e973e5a6b2a43f48e7dc849e37bfcf"
	secretB = "dd3bdf9344b678b185a6f5cb60fca715"
	secretC = "445536bcd2513298075a5d379663c962"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func secret(t testing.TB, text string) cookie.Secret {
	t.Helper()
	return cookie.Secret(unhex(t, text))
}

// The examples of RFC 9018 appendix A. The cookie of A.3 came back after almost two hours, which its prose calls valid
// though section 4.3 allows one hour: it is checked a minute after it was made as well.
func TestVectors(t *testing.T) {
	for _, c := range []struct {
		name, issue, verify, from, in string
		now                           uint32
		out                           string
		state                         cookie.State
	}{
		{"A.1", secretA, "", "198.51.100.100", "2464c4abcf10c957", 1559731985, "2464c4abcf10c957010000005cf79f111f8130c3eee29480", cookie.Missing},
		{"A.2", secretA, "", "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559734385, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77", cookie.Renewed},
		{"A.3", secretA, "", "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559734700, "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e", cookie.Wrong},
		{"A.3 young", secretA, "", "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559728045, "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", cookie.Valid},
		{"A.4", secretC, secretB, "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741961, "22681ab97d52c298010000005cf7c609a6bb79d16625507a", cookie.Renewed},
		{"A.4 without the previous secret", secretC, "", "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741961, "22681ab97d52c298010000005cf7c609a6bb79d16625507a", cookie.Wrong},
		{"A.4 before the roll", secretB, secretC, "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741961, "22681ab97d52c298010000005cf7c57926556bd0934c72f8", cookie.Valid},
		{"mapped", secretA, "", "::ffff:198.51.100.100", "2464c4abcf10c957", 1559731985, "2464c4abcf10c957010000005cf79f111f8130c3eee29480", cookie.Missing},
	} {
		s := cookie.Secrets{Issue: secret(t, c.issue)}
		if c.verify != "" {
			s.Verify = []cookie.Secret{secret(t, c.verify)}
		}
		in := unhex(t, c.in)
		out, state := cookie.NewJar(s).Answer([]byte("x"), in[:8], in[8:], netip.MustParseAddr(c.from), c.now)
		if got := hex.EncodeToString(out[1:]); got != c.out || state != c.state || out[0] != 'x' {
			t.Errorf("%s: %s %v, want %s %v", c.name, got, state, c.out, c.state)
		}
	}
}

// Ages at and beyond the bounds, also where the 32 bits of the time begin again.
func TestAges(t *testing.T) {
	client, from := []byte("12345678"), netip.MustParseAddr("192.0.2.1")
	jar := cookie.NewJar(cookie.Secrets{Issue: secret(t, secretA)})
	for _, made := range []uint32{1559731985, 0, 1<<32 - 1, 1<<32 - 1000, 100} {
		out, _ := jar.Answer(nil, client, nil, from, made)
		for age, want := range map[int64]cookie.State{
			0: cookie.Valid, 1800: cookie.Valid, 1801: cookie.Renewed, 3600: cookie.Renewed, 3601: cookie.Wrong,
			-300: cookie.Valid, -301: cookie.Wrong, 1 << 31: cookie.Wrong, 1<<31 - 1: cookie.Wrong, 100000: cookie.Wrong, -100000: cookie.Wrong,
		} {
			now := uint32(int64(made) + age)
			again, got := jar.Answer(nil, client, out[8:], from, now)
			if got != want {
				t.Errorf("made at %d, %d s old: %v, want %v", made, age, got, want)
			}
			if same := bytes.Equal(again, out); same != (got == cookie.Valid) && age != 0 {
				t.Errorf("made at %d, %d s old: %v, returned as it came %v", made, age, got, same)
			}
			if _, again := jar.Answer(nil, client, again[8:], from, now); again != cookie.Valid {
				t.Errorf("what was returned is %v", again)
			}
		}
	}
}

// Nothing but the whole cookie from the same client and address is accepted, and nothing the client sent in its place
// comes back.
func TestWrong(t *testing.T) {
	const now = 1559731985
	client, from := []byte("12345678"), netip.MustParseAddr("192.0.2.1")
	jar := cookie.NewJar(cookie.Secrets{Issue: secret(t, secretA), Verify: []cookie.Secret{secret(t, secretB)}})
	good, _ := jar.Answer(nil, client, nil, from, now)
	wrong := func(what string, client, server []byte, from netip.Addr) {
		t.Helper()
		out, state := jar.Answer(nil, client, server, from, now)
		if state != cookie.Wrong || state.Proved() || len(out) != cookie.OptionLen || bytes.Equal(out[8:], server) || !bytes.Equal(out[:8], client) {
			t.Errorf("%s: %v, %x", what, state, out)
		}
	}
	for bit := range 8 * cookie.ServerLen {
		server := bytes.Clone(good[8:])
		server[bit/8] ^= 1 << (bit % 8)
		wrong(fmt.Sprint("bit ", bit), client, server, from)
	}
	wrong("client", []byte("12345679"), good[8:], from)
	wrong("address", client, good[8:], netip.MustParseAddr("192.0.2.2"))
	wrong("family", client, good[8:], netip.MustParseAddr("2001:db8::1"))
	wrong("no address", client, good[8:], netip.Addr{})
	for _, n := range []int{8, 15, 17, 32} {
		wrong(fmt.Sprint("length ", n), client, append(bytes.Clone(good[8:]), make([]byte, 32)...)[:n], from)
	}
}

func TestJar(t *testing.T) {
	var empty cookie.Jar
	if out, state := empty.Answer(nil, []byte("12345678"), nil, netip.Addr{}, 1); out != nil || state != cookie.None {
		t.Errorf("a jar without secrets made %x, %v", out, state)
	}
	if _, ok := empty.Load(); ok {
		t.Error("a jar without secrets has some")
	}
	s := cookie.Secrets{Issue: cookie.NewSecret(), Verify: []cookie.Secret{cookie.NewSecret()}}
	jar := cookie.NewJar(s)
	kept := s.Verify[0]
	s.Verify[0] = cookie.Secret{}
	got, ok := jar.Load()
	if !ok || got.Issue != s.Issue || got.Verify[0] != kept {
		t.Error("the jar shares memory with who filled it")
	}
	if out, state := jar.Answer(nil, []byte("1234567"), nil, netip.Addr{}, 1); out != nil || state != cookie.None {
		t.Errorf("a short client cookie made %x, %v", out, state)
	}
	for _, format := range []string{"%v", "%s", "%+v", "%#v", "%d", "%x"} {
		text := fmt.Sprintf(format, got)
		if strings.Contains(text, hex.EncodeToString(got.Issue[:4])) || strings.Contains(text, fmt.Sprint(got.Issue[0], " ", got.Issue[1])) {
			t.Errorf("%s shows the secret: %s", format, text)
		}
	}
}

// Secrets may change under questions being answered; each gets a cookie of the old or of the new set.
func TestStoreWhileAnswering(t *testing.T) {
	a, b := secret(t, secretA), secret(t, secretB)
	jar := cookie.NewJar(cookie.Secrets{Issue: a, Verify: []cookie.Secret{b}})
	from := netip.MustParseAddr("2001:db8::1")
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 1000 {
			if i%2 == 0 {
				jar.Store(cookie.Secrets{Issue: b, Verify: []cookie.Secret{a}})
			} else {
				jar.Store(cookie.Secrets{Issue: a, Verify: []cookie.Secret{b}})
			}
		}
	})
	wg.Go(func() {
		var last []byte
		for i := range uint32(1000) {
			out, state := jar.Answer(nil, []byte("12345678"), last, from, i)
			if i > 0 && !state.Proved() {
				t.Errorf("question %d: %v", i, state)
			}
			last = out[8:]
		}
	})
	wg.Wait()
}

func TestNoAllocation(t *testing.T) {
	jar := cookie.NewJar(cookie.Secrets{Issue: secret(t, secretA), Verify: []cookie.Secret{secret(t, secretB)}})
	client, buf := []byte("12345678"), make([]byte, 0, cookie.OptionLen)
	for _, text := range []string{"192.0.2.1", "2001:db8::1"} {
		from := netip.MustParseAddr(text)
		first, _ := jar.Answer(nil, client, nil, from, 1000)
		for _, server := range [][]byte{nil, first[8:], []byte("1234567890123456")} {
			if n := testing.AllocsPerRun(100, func() { _, _ = jar.Answer(buf, client, server, from, 1000) }); n != 0 {
				t.Errorf("%s, %x: %v allocations", text, server, n)
			}
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	jar := cookie.NewJar(cookie.Secrets{Issue: secret(b, secretA)})
	client, buf, from := []byte("12345678"), make([]byte, 0, cookie.OptionLen), netip.MustParseAddr("192.0.2.1")
	first, _ := jar.Answer(nil, client, nil, from, 1000)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = jar.Answer(buf, client, first[8:], from, 1000)
	}
}
