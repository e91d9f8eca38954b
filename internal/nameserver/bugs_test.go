package nameserver_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
)

// bug is a failure that other people's name servers and traffic managers had, and what keeps it from being ours.
type bug struct {
	failure string
	source  string   // issue, pull request or file of the project that had it
	tests   []string // FOLDER/TestName, below internal
}

// bugs are those that concern what there is; signatures and limits of rates are not there yet. A bug of our own gets a line and a test here too.
var bugs = []bug{
	{
		"a goroutine per question on one shared socket: panic at 2^20 waiters", "coredns plugin/shed/README.md",
		[]string{"nameserver/TestNoGoroutinePerQuestion"},
	},
	{"no scaling past a few cores without SO_REUSEPORT", "coredns#5595, PR#6882, #7111; miekg/dns#654", []string{"nameserver/TestSocketPerLoop"}},
	{
		"several TTLs in one set; wrong ANY and NODATA of dynamic records; a line break in a value broke secondaries", "pdns#7230, #7220, #13767",
		[]string{"nameserver/TestOneTTLPerSet", "nameserver/TestD24ANY", "nameserver/TestTypesOfQuestions", "nameserver/zone/TestRefusedZones"},
	},
	{"the client's cookie came back as the server's", "coredns#6187", []string{"nameserver/TestCookieIsNotEchoed", "nameserver/cookie/TestVectors"}},
	{
		"changing the cookie secret broke sets of servers that share an address", "gdnsd#125",
		[]string{"cluster/TestCookieSecretsAreShared", "cluster/TestRollOutlivesItsLeaders", "nameserver/TestCookiesOfOthers"},
	},
	{
		"NXDOMAIN while nothing was loaded, kept by resolvers", "kubernetes/dns#186",
		[]string{"nameserver/TestNothingLoadedIsServfail", "app/TestKilledNameserverAnswersRightly"},
	},
	{
		"first answers ignored health; a restart forgot it", "pdns#12557, PR#15098, #16369, PR#17239; CoreDNS-GSLB#188",
		[]string{"app/TestKilledNodeGoesOn", "app/TestAnswersBeforeTheStore", "engine/TestRestartDoesNotSwitchBeforeTheActiveWasLookedAt"},
	},
	{"a second instance turned answers into a bare SOA", "CoreDNS-GSLB#83", []string{"app/TestTwoNodes", "sim/TestClustersKeepTheirPromises"}},
	{
		"one resolver that was lost left targets out of published sets", "keiretsu-labs/kubernetes-manifests#2348",
		[]string{"nameserver/flatten/TestOneLostResolver", "nameserver/flatten/TestBookKeepsAddresses", "nameserver/TestFlattenedOverTime"},
	},
	{
		"a reload lost questions", "coredns#4, #519, #1604, #1722",
		[]string{"nameserver/TestHotSwapLosesNothing", "app/TestNameserverUnderLoad"},
	},
	{
		"the tool that checks was wrong about dynamic answers", "pdns#12253, #15006, #9373",
		[]string{"nameserver/TestExplainedIsAnswered", "nameserver/TestGolden"},
	},
	{
		"checks multiplied by servers and targets; deleted ones ran on", "pdns#8261, #7988",
		[]string{"probe/TestIdenticalChecksRunOnce", "nameserver/TestCountersFollowTheDocuments"},
	},
	{"health was not in the metrics", "pdns#15998", []string{"app/TestHealthIsInTheMetrics"}},
	{"weights could not be seen behind caches, since answers held all targets", "k8gb#1950, #1943", []string{"nameserver/TestWeightsOverManyAnswers"}},
	{
		"settings were accepted and not carried out", "OpenGSLB source (enable_dot, rate_limit)",
		[]string{"profile/TestReferenceSaysNotYet", "profile/TestGood", "profile/TestBad"},
	},
	{
		"SERVFAIL to who asked between listening and the first published state", "ours",
		[]string{"app/TestKilledNameserverAnswersRightly"},
	},
	{"a question for the CNAME made from a DNAME got what that leads to as well", "ours", []string{"nameserver/TestGolden", "nameserver/TestInteropDifferential"}},
}

// TestBugsHaveTests demands that every test the table names is there.
func TestBugsHaveTests(t *testing.T) {
	known := map[string]map[string]bool{}
	for _, b := range bugs {
		if len(b.tests) == 0 || b.source == "" {
			t.Errorf("%q has no test or no source", b.failure)
		}
		for _, name := range b.tests {
			folder, test := filepath.Split(name)
			if known[folder] == nil {
				known[folder] = testsIn(t, filepath.Join("..", folder))
			}
			if !known[folder][test] {
				t.Errorf("%q: there is no test %s in internal/%s", b.failure, test, folder)
			}
		}
	}
}

// testsIn are the names of all tests in a folder, whatever their build tags.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", dir, err)
	}
	found := map[string]bool{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				found[f.Name.Name] = true
			}
		}
	}
	return found
}

// Thousands of questions at once make no goroutine.
func TestNoGoroutinePerQuestion(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	conn, err := net.Dial("udp", f.serve(t).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packets := [][]byte{aQuestion(t, "svc.dr.example.", dns.TypeA), aQuestion(t, "host.moved.dr.example.", dns.TypeTXT), aQuestion(t, "big.dr.example.", dns.TypeANY)}
	buf := make([]byte, 4096)
	exchange := func(n int) (most int) {
		for i := range n {
			if _, err := conn.Write(packets[i%len(packets)]); err != nil {
				t.Fatal(err)
			}
			if i%64 == 63 {
				most = max(most, runtime.NumGoroutine())
			}
		}
		for range n { // what does not fit into the sockets is lost
			_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			if _, err := conn.Read(buf); err != nil {
				break
			}
		}
		return most
	}
	exchange(64)
	before := runtime.NumGoroutine()
	// A few workers may take questions out of the ordinary.
	if most := exchange(5000); most > before+runtime.GOMAXPROCS(0)*4 {
		t.Errorf("%d goroutines, %d before 5000 questions", most, before)
	}
}

// All records of a set have one TTL, whatever was asked.
func TestOneTTLPerSet(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	at, sets := f.serve(t), 0
	for _, text := range questions {
		name, word, _ := strings.Cut(text, " ")
		typ, known := dns.StringToType[strings.ToUpper(word)]
		if !known {
			continue
		}
		for _, asked := range []uint16{typ, dns.TypeANY} {
			m := ask(t, "tcp", at, query(dns.Fqdn(name), asked))
			ttls := map[string]uint32{}
			for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
				h := rr.Header()
				if h.Rrtype == dns.TypeOPT {
					continue
				}
				set := strings.ToLower(h.Name) + dns.Type(h.Rrtype).String()
				if ttl, seen := ttls[set]; seen && ttl != h.Ttl {
					t.Errorf("%s %s: TTL %d and %d in one set: %v", name, dns.Type(asked), ttl, h.Ttl, m)
				} else if seen {
					sets++
				}
				ttls[set] = h.Ttl
			}
		}
	}
	if sets == 0 {
		t.Error("no set had two records: nothing was tried")
	}
}

// The server's cookie is made by the server: neither what the client sent as its own nor what it claims to be ours.
func TestCookieIsNotEchoed(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	at := f.serve(t)
	const mine, claimed = "0123456789abcdef", "0100000000000000fedcba9876543210"
	for _, sent := range []string{mine, mine + claimed, mine + mine} {
		q := query("dr.example.", dns.TypeSOA)
		q.SetEdns0(1232, false)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: sent}}
		m, got := ask(t, "udp", at, q), ""
		for _, option := range m.IsEdns0().Option {
			if c, ok := option.(*dns.EDNS0_COOKIE); ok {
				got = c.Cookie
			}
		}
		if len(got) != 48 || got[:16] != mine || got[16:] == claimed || strings.Contains(got[16:], mine) {
			t.Errorf("sent %s, got %s", sent, got)
		}
	}
}

// Before anything is loaded every question gets SERVFAIL: it is soon asked again, while NXDOMAIN and NODATA are kept.
func TestNothingLoadedIsServfail(t *testing.T) {
	f := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}})
	at := f.serve(t)
	for _, network := range []string{"udp", "tcp"} {
		for _, name := range []string{"dr.example.", "svc.dr.example.", "nothing.test.", "."} {
			for _, typ := range []uint16{dns.TypeA, dns.TypeSOA, dns.TypeNS, dns.TypeANY} {
				if m := ask(t, network, at, query(name, typ)); m.Rcode != dns.RcodeServerFailure || m.Authoritative || len(m.Answer)+len(m.Ns) > 0 {
					t.Errorf("%s %s over %s: %v", name, dns.Type(typ), network, m)
				}
			}
		}
	}
}

// What the explanation says is what a resolver gets.
func TestExplainedIsAnswered(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	at := f.serve(t)
	for _, text := range questions {
		name, word, _ := strings.Cut(text, " ")
		typ, known := dns.StringToType[strings.ToUpper(word)]
		if !known {
			continue
		}
		e, err := f.srv.Explain(f.hub.Load(), name, word, netip.MustParseAddr("127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		m := ask(t, "tcp", at, query(dns.Fqdn(name), typ))
		told := fmt.Sprintf("%s aa=%v\n%s\n%s\n%s", e.Rcode, e.AA, lines(e.Answer), lines(e.Authority), lines(e.Glue))
		got := fmt.Sprintf("%s aa=%v\n%s\n%s\n%s", dns.RcodeToString[m.Rcode], m.Authoritative, lines(texts(m.Answer)), lines(texts(m.Ns)), lines(texts(m.Extra)))
		if told != got {
			t.Errorf("%s: explained\n%s\nanswered\n%s", text, told, got)
		}
	}
}

func texts(records []dns.RR) (out []string) {
	for _, rr := range records {
		out = append(out, rr.String())
	}
	return out
}

// lines are records with single blanks, as sets.
func lines(records []string) string {
	var out []string
	for _, r := range records {
		out = append(out, strings.Join(strings.Fields(r), " "))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
