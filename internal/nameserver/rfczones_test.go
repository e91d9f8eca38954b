package nameserver_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

// zoneCase is one zone and question with the answers of four other servers, equal ones together.
type zoneCase struct {
	ID      int
	Zone    string
	Qname   string
	Qtype   string
	Tag     string
	Answers []struct {
		Servers  []string
		Response []string
	}
}

// floor of the share of cases in which our answer equals that of at least one of the four servers.
const floor = 1.0

// TestOtherServersAgree compares our answers with those of BIND, NSD, Knot and PowerDNS for generated zones.
func TestOtherServersAgree(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "data", "rfc-zones", "cases.jsonl.gz")
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the generated zones are not part of the repository, and not beside it: " + path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 1<<20)
	total, equal, all, refused, shown := 0, 0, 0, 0, 0
	for lines.Scan() {
		var c zoneCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		total++
		got, err := answerCase(t, &c)
		if err != nil {
			refused++
			t.Errorf("case %d: zone refused: %v", c.ID, err)
			continue
		}
		switch n := agreeing(got, &c); {
		case n == len(c.Answers):
			all++
			equal++
		case n > 0:
			equal++
		default:
			if shown++; shown <= 20 {
				t.Logf("case %d (%s): %s %s\n%s\n got %q\n", c.ID, c.Tag, c.Qname, c.Qtype, c.Zone, got)
				for _, a := range c.Answers {
					t.Logf("%v %q", a.Servers, normal(a.Response))
				}
			}
		}
	}
	if lines.Err() != nil || total == 0 {
		t.Fatalf("%d cases read: %v", total, lines.Err())
	}
	loaded := total - refused
	t.Logf("%d cases: %d zones refused; of %d answered, %d (%.2f %%) equal at least one other server, %d all of them",
		total, refused, loaded, equal, 100*float64(equal)/float64(loaded), all)
	if float64(equal) < floor*float64(loaded) {
		t.Errorf("fewer than %.1f %% equal another server", 100*floor)
	}
}

func answerCase(t *testing.T, c *zoneCase) ([]string, error) {
	t.Helper()
	apex, _, _ := strings.Cut(c.Zone, "\t")
	doc := &profile.Zone{Name: strings.TrimSuffix(strings.TrimSpace(apex), "."), Records: c.Zone}
	if _, err := nameserver.ParseZone(doc, 1); err != nil {
		return nil, err
	}
	f := build(t, []*profile.Zone{doc}, nil, nil)
	e, err := f.srv.Explain(f.hub.Load(), c.Qname, c.Qtype, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"rcode " + e.Rcode, "flags QR"}
	if e.AA {
		lines[1] += " AA"
	}
	lines = append(lines, ";QUESTION", c.Qname+" IN "+c.Qtype, ";ANSWER")
	lines = append(append(lines, e.Answer...), ";AUTHORITY")
	lines = append(append(lines, e.Authority...), ";ADDITIONAL")
	return normal(append(lines, e.Glue...)), nil
}

func agreeing(got []string, c *zoneCase) (n int) {
	for _, a := range c.Answers {
		if slices.Equal(got, normal(a.Response)) {
			n++
		}
	}
	return n
}

var blanks = regexp.MustCompile(`\s+`)

// normal is a response without what does not count: order, letter case, the NS set beside a positive answer, and
// addresses outside referrals.
func normal(response []string) []string {
	section, out := "", []string(nil)
	positive := slices.Contains(response, "flags QR AA")
	for _, l := range response {
		l = strings.ToLower(strings.TrimSpace(blanks.ReplaceAllString(l, " ")))
		switch {
		case strings.HasPrefix(l, ";"):
			section = l
			continue
		case section == ";question",
			section == ";authority" && positive && strings.Contains(l, " in ns "),
			section == ";additional" && positive:
			continue
		}
		out = append(out, section+l)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
