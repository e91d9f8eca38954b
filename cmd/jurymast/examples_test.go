package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/app"
	"jurymast/internal/lab"
	"jurymast/internal/profile"
)

// asked is what one client of an example must be answered, over many questions.
type asked struct {
	name, client string // name: below dr.example; client: its network, told as EDNS client subnet
	want         string // all addresses that occur, sorted
}

// exampleStep breaks some tenants, mends the others, and asks.
type exampleStep struct {
	broken []int // 1 is the tenant at 127.0.0.1:9101
	asks   []asked
}

const (
	inGermany, inCalifornia, inJapan, nowhere = "192.0.2.9", "198.51.100.9", "203.0.113.9", "8.8.8.8"
	one, two, three                           = "127.0.0.11", "127.0.0.12", "127.0.0.13"
)

var exampleSteps = map[string][]exampleStep{
	"weighted": {
		{nil, []asked{{"shop", nowhere, one + " " + two}}},
		{[]int{1}, []asked{{"shop", nowhere, two}, {"basket", inJapan, two}}},
		{[]int{1, 2}, []asked{{"shop", nowhere, three}}},
	},
	"performance": {
		{nil, []asked{{"shop", inGermany, one}, {"shop", inCalifornia, two}, {"shop", inJapan, three}, {"shop", nowhere, one}}},
		{[]int{3}, []asked{{"shop", inGermany, one}, {"shop", inJapan, two}}},
	},
	"geographic": {
		{nil, []asked{{"shop", inGermany, one}, {"shop", "192.0.2.200", two}, {"shop", inJapan, three}, {"shop", nowhere, three}}},
		{[]int{1}, []asked{{"shop", inGermany, two}, {"records", inGermany, one}}},
		{[]int{1, 2}, []asked{{"shop", inGermany, three}, {"records", inGermany, one}}},
	},
	"fencing": { // DNS leads to the proxy, whoever is active
		{nil, []asked{{"integration", nowhere, "127.0.0.9"}}},
		{[]int{1}, []asked{{"integration", nowhere, "127.0.0.9"}}},
	},
	"balancer": { // DNS leads past it
		{nil, []asked{{"integration", nowhere, one}}},
		{[]int{1}, []asked{{"integration", nowhere, two}}},
	},
	"flatten": { // the apex has the addresses of a name elsewhere
		{nil, []asked{{"", nowhere, one + " " + two}}},
		{[]int{1}, []asked{{"", nowhere, "127.0.0.21"}}},
	},
	"encrypted": { // its certificate is made by whoever tries it
		{nil, []asked{{"www", nowhere, one}}},
		{[]int{1}, []asked{{"www", nowhere, two}}},
	},
	"secondary": { // the zone is fetched, the profile answers in it
		{nil, []asked{{"www", nowhere, "192.0.2.80"}, {"shop", nowhere, one}}},
	},
	"nameserver": { // its zone comes from a file, which includes another
		{nil, []asked{{"shop", nowhere, one}, {"www", nowhere, "192.0.2.10 192.0.2.11 192.0.2.12"}, {"printer.office", nowhere, "192.0.2.30"}}},
		{[]int{1}, []asked{{"shop", nowhere, two}}},
	},
	"multivalue": {
		{nil, []asked{{"shop", nowhere, one + " " + two + " " + three}}},
		{[]int{2}, []asked{{"shop", nowhere, one + " " + three}}},
	},
	"subnet": {
		{nil, []asked{{"shop", "127.1.0.1", one}, {"shop", "203.0.113.12", two}, {"shop", "192.0.2.7", two}, {"shop", nowhere, three}}},
		{[]int{1}, []asked{{"shop", "127.1.0.1", three}, {"shop", "203.0.113.12", two}}},
		{[]int{1, 3}, []asked{{"shop", "127.1.0.1", one}, {"shop", nowhere, three}}},
	},
	"nested": {
		{nil, []asked{{"shop", inGermany, one + " " + two + " " + three}, {"shop", inCalifornia, "127.0.0.21"}}},
		{[]int{2}, []asked{{"shop", inGermany, one + " " + three}}},
		{[]int{2, 3}, []asked{{"shop", inGermany, "127.0.0.21"}, {"eu.shop", inGermany, one}}},
		{[]int{2, 3, 4}, []asked{{"shop", inGermany, "127.0.0.22"}}},
	},
}

// TestExamplesAnswer starts the node of every routing example, breaks its tenants and asks its nameserver.
func TestExamplesAnswer(t *testing.T) {
	t.Setenv("XFR_SECRET", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	for name, steps := range exampleSteps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := startExample(t, name)
			for i, s := range steps {
				x.breakOnly(t, s.broken)
				for _, a := range s.asks {
					x.eventually(t, i, a)
				}
			}
		})
	}
}

// TestEveryRoutingExampleIsTried: an example without a line above is one nobody has run.
func TestEveryRoutingExampleIsTried(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", "README.md"))
	if err != nil || len(names) < len(exampleSteps) {
		t.Fatalf("%d examples with a README, want at least %d: %v", len(names), len(exampleSteps), err)
	}
	for _, p := range names {
		if name := filepath.Base(filepath.Dir(p)); exampleSteps[name] == nil {
			t.Errorf("examples/%s is in no step of this test", name)
		}
	}
}

// TestExamplesKeepTheirDataApart: what one example left in its store must not meet the next one's.
func TestExamplesKeepTheirDataApart(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", "jurymast.yaml"))
	if err != nil || len(files) <= len(exampleSteps) {
		t.Fatalf("%d examples, want more than %d: %v", len(files), len(exampleSteps), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := profile.DecodeFile(file, text)
		if err != nil {
			t.Fatal(err)
		}
		if want := "./data/" + filepath.Base(filepath.Dir(file)); f.Node.Data != want {
			t.Errorf("%s keeps its data in %s, want %s", file, f.Node.Data, want)
		}
	}
}

type runningExample struct {
	dns     string
	tenants map[int]*lab.Tenant
}

var (
	tenantAddr = regexp.MustCompile(`127\.0\.0\.1:910(\d)`)
	dnsLine    = regexp.MustCompile(`^listening +dns +udp\+tcp +(\S+)`)
)

// startExample runs tenants and node on free ports until the test ends.
func startExample(t *testing.T, name string) *runningExample {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", name, "jurymast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	x := &runningExample{tenants: map[int]*lab.Tenant{}}
	config := tenantAddr.ReplaceAllStringFunc(string(text), func(addr string) string {
		return x.tenant(t, int(addr[len(addr)-1]-'0'))
	})
	config = onFreePorts(t, name, config)
	if elsewhere, err := os.ReadFile(filepath.Join("..", "..", "examples", name, "elsewhere.yaml")); err == nil {
		other := &runningExample{}
		other.run(t, written(t, strings.NewReplacer("127.0.0.1:5301", "127.0.0.1:0", "127.0.0.1:9461", "127.0.0.1:0").Replace(string(elsewhere))))
		config = strings.ReplaceAll(config, "127.0.0.1:5301", other.dns)
	}
	config = strings.NewReplacer("127.0.0.9:8080", "127.0.0.9:0", "127.0.0.1:8853", "127.0.0.1:0", "127.0.0.1:8443", "127.0.0.1:0").Replace(config)
	config = withCertificate(t, config)
	data, err := filepath.Abs(filepath.Join("..", "..", "examples", "data"))
	if err != nil {
		t.Fatal(err)
	}
	config = strings.ReplaceAll(config, "../data/", data+"/") // paths of node.geo start at the file
	file := written(t, config)
	zones, err := filepath.Glob(filepath.Join("..", "..", "examples", name, "*.zone"))
	if err != nil {
		t.Fatal(err)
	}
	for _, zone := range zones { // they are beside the file
		text, err := os.ReadFile(zone)
		if err == nil {
			err = os.WriteFile(filepath.Join(filepath.Dir(file), filepath.Base(zone)), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	x.run(t, file)
	return x
}

// withCertificate puts one that exists where an example has one that readers make.
func withCertificate(t *testing.T, config string) string {
	t.Helper()
	const placeholder = "./data/encrypted."
	if !strings.Contains(config, placeholder) {
		return config
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"ns1.dr.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "encrypted.")
	for ending, b := range map[string]*pem.Block{"pem": {Type: "CERTIFICATE", Bytes: der}, "key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(at+ending, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return strings.ReplaceAll(config, placeholder, at)
}

// hasty is what a test puts for the timing of an example: it waits less patiently than a reader.
const hasty = "interval: 300ms, timeout: 250ms"

// onFreePorts replaces what every example has.
func onFreePorts(t *testing.T, name, config string) string {
	t.Helper()
	for _, fixed := range []string{"127.0.0.1:5300", "127.0.0.1:9460"} {
		if !strings.Contains(config, fixed) {
			t.Fatalf("examples/%s has no %s", name, fixed)
		}
		config = strings.ReplaceAll(config, fixed, "127.0.0.1:0")
	}
	config = strings.ReplaceAll(config, "interval: 10s, timeout: 500ms", hasty)
	return strings.ReplaceAll(config, "interval: 1s, timeout: 500ms", hasty)
}

// written is a file with that text.
func written(t *testing.T, config string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jurymast.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// tenant starts the tenant of that number once and returns its address.
func (x *runningExample) tenant(t *testing.T, n int) string {
	t.Helper()
	if x.tenants[n] == nil {
		tenant, err := lab.NewTenant(lab.TenantOptions{
			Listen: "127.0.0.1:0", Control: "off", Region: fmt.Sprint(n), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := tenant.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tenant.Close() })
		x.tenants[n] = tenant
	}
	return x.tenants[n].Addr()
}

func (x *runningExample) run(t *testing.T, file string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := &printed{}
	ended := make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, app.Options{File: file, Data: filepath.Join(filepath.Dir(file), "data"), Log: slog.New(slog.DiscardHandler), Out: out, Version: "test"})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node ended with: %v", err)
		}
	})
	for start := time.Now(); x.dns == ""; time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(out.String()) {
			if m := dnsLine.FindStringSubmatch(line); m != nil {
				x.dns = m[1]
			}
		}
		select {
		case err := <-ended:
			ended <- nil
			t.Fatalf("the node ended at once: %v", err)
		default:
		}
		if time.Since(start) > patience {
			t.Fatalf("no nameserver within %v; the node said %q", patience, out)
		}
	}
}

func (x *runningExample) breakOnly(t *testing.T, broken []int) {
	t.Helper()
	for n, tenant := range x.tenants {
		kind := lab.FaultNone
		if slices.Contains(broken, n) {
			kind = lab.FaultError
		}
		if err := tenant.SetFault(lab.Fault{Kind: kind, Share: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually asks until the answers are the wanted ones. Forty questions throw the dice often enough to see every side.
func (x *runningExample) eventually(t *testing.T, step int, a asked) {
	t.Helper()
	got, err := "", error(nil)
	for start := time.Now(); time.Since(start) < patience; time.Sleep(50 * time.Millisecond) {
		if got, err = x.addresses(a, 40); err == nil && got == a.want {
			return
		}
	}
	t.Fatalf("step %d: %s from %s: answers %q, want %q; last error %v", step, a.name, a.client, got, a.want, err)
}

func (x *runningExample) addresses(a asked, questions int) (string, error) {
	var seen []string
	c := dns.Client{Timeout: time.Second}
	for range questions {
		m := new(dns.Msg).SetQuestion(strings.TrimPrefix(a.name+".dr.example.", "."), dns.TypeA)
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 32, Address: net.IP(netip.MustParseAddr(a.client).AsSlice()),
		})
		answer, _, err := c.Exchange(m, x.dns)
		if err != nil {
			return "", err
		}
		if answer.Rcode != dns.RcodeSuccess {
			return "", fmt.Errorf("answer %s", dns.RcodeToString[answer.Rcode])
		}
		for _, rr := range answer.Answer {
			if addr := rr.(*dns.A).A.String(); !slices.Contains(seen, addr) { //nolint:errcheck // an A question has A answers here, else the test may end
				seen = append(seen, addr)
			}
		}
	}
	slices.Sort(seen)
	return strings.Join(seen, " "), nil
}

// printed collects what a node prints.
type printed struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *printed) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *printed) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
