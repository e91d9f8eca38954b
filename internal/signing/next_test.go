package signing

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	update = flag.Bool("update", false, "write the scenarios anew")
	t0     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// scenario is a zone with TTLs of an hour, a DS TTL of two, and five minutes of propagation.
type scenario struct {
	t      *testing.T
	set    Set
	now    time.Time
	nodes  []Node
	facts  Facts
	draws  byte
	names  map[uint16]string // tag -> letter, in the order of birth
	out    bytes.Buffer
	parent *Parent
}

// TestScenarios replays testdata/*.txt: a line is what happens, lines with > behind it are the steps taken and where the
// keys stand then. A key is its letter, role and state.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 6 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &scenario{t: t, now: t0, set: Set{Zone: "example.org"}, names: map[uint16]string{}}
			s.facts = Facts{Known: true, TTL: time.Hour, KeyTTL: time.Hour, Wanted: Wanted{Algorithm: ECDSAP256, Roles: []Role{CSK}, Propagation: 5 * time.Minute}}
			for line := range strings.Lines(string(text)) {
				line = strings.TrimSpace(line)
				if strings.HasPrefix(line, ">") {
					continue
				}
				s.out.WriteString(line + "\n")
				if line != "" && !strings.HasPrefix(line, "#") {
					s.run(strings.Fields(line))
				}
			}
			if *update {
				if err := os.WriteFile(file, s.out.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if s.out.String() != string(text) {
				t.Errorf("got:\n%s", s.out.String())
			}
		})
	}
}

func (s *scenario) run(words []string) {
	var err error
	switch args := words[1:]; words[0] {
	case "zone":
		s.facts.Wanted.Roles = nil
		for _, r := range args {
			s.facts.Wanted.Roles = append(s.facts.Wanted.Roles, Role(r))
		}
	case "signed":
		s.facts.Wanted.Signed = args[0] == "on"
	case "zsk-lifetime":
		s.facts.Wanted.ZSKLifetime = s.duration(args[0])
	case "nodes":
		s.nodes = nil
		for _, n := range args {
			s.nodes = append(s.nodes, Node{Name: n})
		}
	case "ack":
		for i := range s.nodes {
			if slices.Contains(args, s.nodes[i].Name) {
				s.nodes[i].Mark = s.set.Mark()
			}
		}
	case "acks": // as they come, for so long
		s.pass(s.duration(args[0]))
		return
	case "after":
		s.now = s.now.Add(s.duration(args[0]))
	case "parent":
		s.parent = &Parent{At: s.now, All: true, TTL: 2 * time.Hour, Servers: 2, Heard: 2}
		s.hear(args)
	case "order":
		s.set, err = s.set.Order(s.order(args), s.look(), s.now)
	case "ds-seen":
		ttl := time.Duration(0)
		if len(args) > 0 {
			ttl = s.duration(args[0])
		}
		s.set, err = s.set.SeeDS(s.look().Parent, ttl, s.now)
	case "cds":
		s.set, err = s.set.UseCDS(CDSMode(args[0]))
	default:
		s.t.Fatalf("%q is nothing that happens", words[0])
	}
	if err != nil {
		s.out.WriteString("> " + s.lettered(err.Error()) + "\n")
		return
	}
	s.settle(true)
}

func (s *scenario) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *scenario) hear(letters []string) {
	for i := range s.set.Keys {
		if k := &s.set.Keys[i]; slices.Contains(letters, s.letter(k)) {
			s.parent.DS = append(s.parent.DS, k.DS("example.org", SHA256))
		}
	}
	s.parent.Common = s.parent.DS
	if slices.Contains(letters, "silent") {
		s.parent.All, s.parent.Heard, s.parent.Trouble = false, 0, "no server answers"
	}
	if slices.Contains(letters, "split") {
		s.parent.All, s.parent.Trouble = false, "ns2 has others"
	}
}

func (s *scenario) order(words []string) (r Roll) {
	for _, w := range words {
		switch a, ok := AlgorithmOf(w); {
		case ok:
			r.Algorithm = a
		case w == "emergency":
			r.Emergency = true
		default:
			r.Role = Role(w)
		}
	}
	return r
}

func (s *scenario) look() *Facts {
	f := s.facts
	f.Live, f.Parent = s.nodes, nil
	if s.parent != nil {
		p := *s.parent
		p.Asked = s.now
		f.Parent = &p
	}
	s.draws++
	f.Random = [2][32]byte{{s.draws, 1}, {s.draws, 2}}
	return &f
}

// settle takes every step that is due.
func (s *scenario) settle(tell bool) {
	var step Step
	for range 10 {
		s.set, step = Next(s.set, s.look(), s.now)
		if step.Why != "" {
			s.out.WriteString("> " + s.at() + s.lettered(step.Why) + "\n")
		}
		if !step.Changed {
			break
		}
	}
	if why := s.set.fault(); !s.set.Zero() && why != "" {
		s.t.Fatal(why)
	}
	if tell {
		s.out.WriteString("> " + s.told(step.Wait) + "\n")
	}
}

// pass lets time go minute by minute while every node acknowledges at once.
func (s *scenario) pass(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(time.Minute) {
		for i := range s.nodes {
			s.nodes[i].Mark = s.set.Mark()
		}
		s.settle(false)
	}
	s.settle(true)
}

func (s *scenario) at() string { return s.now.Sub(t0).String() + " " }

func (s *scenario) letter(k *Key) string {
	if s.names[k.Tag] == "" {
		s.names[k.Tag] = string(rune('A' + len(s.names)))
	}
	return s.names[k.Tag]
}

// lettered has letters for tags.
func (s *scenario) lettered(text string) string {
	for tag, letter := range s.names {
		text = strings.ReplaceAll(text, fmt.Sprint(tag), letter)
	}
	return text
}

func (s *scenario) told(w Wait) string {
	if s.set.Zero() {
		return "no keys"
	}
	out := string(s.set.Stage)
	for i := range s.set.Keys {
		k := &s.set.Keys[i]
		out += fmt.Sprintf(" %s:%s=%s", s.letter(k), k.Role, k.State)
	}
	v := s.set.View()
	for _, i := range v.Announce {
		out += " CDS " + s.letter(&s.set.Keys[i])
	}
	if v.Delete {
		out += " CDS delete"
	}
	if w.For != "" {
		out += "; waits for " + s.lettered(w.For)
		if !w.Until.IsZero() {
			out += fmt.Sprintf(" (%v)", w.Until.Sub(t0))
		}
	}
	return out
}
