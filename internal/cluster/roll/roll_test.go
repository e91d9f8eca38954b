package roll

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func secret(n byte) Secret { return NewSecret([16]byte{n}) }

func name(s Secret) string { return fmt.Sprintf("S%d", s.Bytes()[0]) }

// told is a state as the stories tell it.
func told(s State) string {
	var verify []string
	for _, v := range s.Verify() {
		verify = append(verify, name(v))
	}
	return fmt.Sprintf("%s issues %s verifies %s", s.Stage, name(s.Issue()), strings.Join(verify, " "))
}

// The stories: a line that begins with > is what must be the state after the line before; "waits" names who has not
// acknowledged. after DURATION lets time pass, ack NODE... acknowledges the state as it is, files and own are marks,
// order asks for a change, gone NODE ends a lease, joins NODE begins one without a mark.
var stories = map[string]string{
	"a whole roll, every day": `
joins a b
> steady issues S1 verifies S1
after 23h59m
ack a b
> steady issues S1 verifies S1
after 1m
> publishing issues S1 verifies S1 S2 waits a b
ack a
after 48h
> publishing issues S1 verifies S1 S2 waits b
ack b
> switching issues S2 verifies S2 S1 waits a b
ack b
> switching issues S2 verifies S2 S1 waits a
ack a
> retiring issues S2 verifies S2 S1 waits a b
ack a b
after 1h4m59s
> retiring issues S2 verifies S2 S1
after 1s
> steady issues S2 verifies S2 waits a b
after 22h
> steady issues S2 verifies S2 waits a b
after 54m59s
> steady issues S2 verifies S2 waits a b
after 1s
> publishing issues S2 verifies S2 S3 waits a b`,
	"by order, and only once": `
joins a
order
> publishing issues S1 verifies S1 S2 waits a
ack a
> switching issues S2 verifies S2 S1 waits a
order
ack a
> retiring issues S2 verifies S2 S1 waits a
order
after 1h5m
> steady issues S2 verifies S2 waits a`,
	"a node that dies does not block": `
joins a b
order
> publishing issues S1 verifies S1 S2 waits a b
ack a
> publishing issues S1 verifies S1 S2 waits b
gone b
> switching issues S2 verifies S2 S1 waits a
ack a
> retiring issues S2 verifies S2 S1 waits a`,
	"a node that comes back acknowledges what it finds": `
joins a b
order
> publishing issues S1 verifies S1 S2 waits a b
gone b
ack a
joins b
> publishing issues S1 verifies S1 S2 waits b
ack b
> switching issues S2 verifies S2 S1 waits a b`,
	"an older mark is none": `
joins a b
ack a b
order
> publishing issues S1 verifies S1 S2 waits a b`,
	"who answers for itself is not waited for": `
joins a b c
order
> publishing issues S1 verifies S1 S2 waits a b c
ack a
files b
own c
> switching issues S2 verifies S2 S1 waits a`,
	"a clock that was ahead": `
joins a
after -1h
> steady issues S1 verifies S1 waits a
after 24h
> publishing issues S1 verifies S1 S2 waits a`,
}

func TestStories(t *testing.T) {
	for what, text := range stories {
		t.Run(what, func(t *testing.T) {
			now := t0
			s := Begin(Facts{Now: now, Fresh: secret(1)})
			nodes := map[string]string{}
			ordered, fresh := false, byte(1)
			live := func() (out []Node) {
				for n, mark := range nodes {
					out = append(out, Node{n, mark})
				}
				slices.SortFunc(out, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
				return out
			}
			lines := bufio.NewScanner(strings.NewReader(strings.TrimSpace(text)))
			for n := 1; lines.Scan(); n++ {
				words := strings.Fields(lines.Text())
				switch words[0] {
				case "joins":
					for _, w := range words[1:] {
						nodes[w] = ""
					}
				case "ack":
					for _, w := range words[1:] {
						nodes[w] = s.Mark()
					}
				case "gone":
					delete(nodes, words[1])
				case "files", "own":
					nodes[words[1]] = words[0]
				case "order":
					ordered = true
				case "after":
					d, err := time.ParseDuration(words[1])
					if err != nil {
						t.Fatal(err)
					}
					now = now.Add(d)
				case ">":
					next, took := s.Advance(Rules{Every, Keep}, Facts{Now: now, Live: live(), Ordered: ordered, Fresh: secret(fresh + 1)})
					if took {
						if next.Step != s.Step+1 || !next.Since.Equal(now) {
							t.Fatalf("line %d: step %d at %v", n, next.Step, next.Since)
						}
						if next.Next.Tag() == secret(fresh+1).Tag() {
							fresh++
						}
						ordered = false
					} else if next != s {
						t.Fatalf("line %d: no step, and another state", n)
					}
					s = next
					got := told(s)
					if waits := s.Waiting(live()); len(waits) > 0 && strings.Contains(lines.Text(), "waits") {
						got += " waits " + strings.Join(waits, " ")
					}
					if want := strings.Join(words[1:], " "); got != want {
						t.Fatalf("line %d:\n got %s\nwant %s", n, got, want)
					}
					if why := s.fault(); why != "" {
						t.Fatalf("line %d: %s", n, why)
					}
				default:
					t.Fatalf("line %d: %q", n, words[0])
				}
			}
		})
	}
}

// cookieMade is a cookie as far as this package cares: the secret it was made with, and when.
type cookieMade struct {
	by Secret
	at time.Time
}

// simNode is a node that learns of states late, dies and comes back.
type simNode struct {
	alive bool
	uses  State
	mark  string
}

// TestNoCookieIsRefused: nodes learn late, die, come back, leaders look at any time; whatever a live node issued within
// the life of a cookie is accepted by every live node, at every instant.
func TestNoCookieIsRefused(t *testing.T) {
	for seed := range uint64(80) {
		dice := rand.New(rand.NewPCG(seed, 1))
		now := t0
		s := Begin(Facts{Now: now, Fresh: secret(1)})
		fresh, stages := uint32(1), map[Stage]int{}
		nodes := make([]simNode, 2+dice.IntN(3))
		for i := range nodes {
			nodes[i] = simNode{true, s, s.Mark()}
		}
		var made []cookieMade
		for range 600 {
			now = now.Add(time.Duration(dice.IntN(300)) * time.Second)
			n := &nodes[dice.IntN(len(nodes))]
			switch dice.IntN(5) {
			case 0: // dies, or comes back: it reads the state before it counts
				if n.alive = !n.alive; n.alive {
					n.uses, n.mark = s, s.Mark()
				}
			case 1, 2: // hears of the state; its word is heard with it
				n.uses, n.mark = s, s.Mark()
			case 3: // issues
				if n.alive {
					made = append(made, cookieMade{n.uses.Issue(), now})
				}
			case 4: // the leader looks
				var live []Node
				for j := range nodes {
					if nodes[j].alive {
						live = append(live, Node{fmt.Sprint(j), nodes[j].mark})
					}
				}
				var random [16]byte
				random[0], random[1], random[2] = 9, byte(fresh), byte(fresh>>8)
				if next, took := s.Advance(Rules{4 * time.Hour, Keep}, Facts{Now: now, Live: live, Ordered: dice.IntN(20) == 0, Fresh: NewSecret(random)}); took {
					s = next
					fresh++
					stages[s.Stage]++
				}
			}
			made = slices.DeleteFunc(made, func(c cookieMade) bool { return now.Sub(c.at) > time.Hour })
			for i := range nodes {
				if !nodes[i].alive {
					continue
				}
				for _, c := range made {
					if !slices.ContainsFunc(nodes[i].uses.Verify(), func(v Secret) bool { return v.Tag() == c.by.Tag() }) {
						t.Fatalf("seed %d: node %d in step %d (%s) refuses a cookie of %v ago", seed, i, nodes[i].uses.Step, nodes[i].uses.Stage, now.Sub(c.at))
					}
				}
			}
		}
		if len(stages) < 4 {
			t.Fatalf("seed %d: the stages %v alone: nothing was tried", seed, stages)
		}
	}
}

func TestStoredStates(t *testing.T) {
	good := State{7, Publishing, t0, t0.Add(-time.Hour), secret(1), secret(2), Secret{}}
	text, err := good.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(text)
	if err != nil || fmt.Sprintf("%+v", back) != fmt.Sprintf("%+v", good) {
		t.Fatalf("%+v, %v", back, err)
	}
	one, two := hex.EncodeToString(bytes.Repeat([]byte{1}, 16)), hex.EncodeToString(bytes.Repeat([]byte{2}, 16))
	line := func(stage, secrets string) string {
		return fmt.Sprintf(`{"step":1,"stage":%q,"since":"2026-01-01T00:00:00Z","rolled":"2026-01-01T00:00:00Z",%s}`, stage, secrets)
	}
	if _, err := Decode([]byte(line("retiring", fmt.Sprintf(`"current":%q,"previous":%q`, one, two)))); err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{
		"nothing":               "",
		"no JSON":               "secret",
		"unknown stage":         line("rolling", fmt.Sprintf(`"current":%q`, one)),
		"no secret":             line("steady", `"current":""`),
		"zero secret":           line("steady", fmt.Sprintf(`"current":%q`, strings.Repeat("0", 32))),
		"short secret":          line("steady", `"current":"0102"`),
		"publishing, no next":   line("publishing", fmt.Sprintf(`"current":%q`, one)),
		"steady with a next":    line("steady", fmt.Sprintf(`"current":%q,"next":%q`, one, two)),
		"retiring, no previous": line("retiring", fmt.Sprintf(`"current":%q`, one)),
		"the same twice":        line("publishing", fmt.Sprintf(`"current":%q,"next":%[1]q`, one)),
		"no step":               fmt.Sprintf(`{"stage":"steady","since":"2026-01-01T00:00:00Z","rolled":"2026-01-01T00:00:00Z","current":%q}`, one),
		"no time":               fmt.Sprintf(`{"step":1,"stage":"steady","current":%q}`, one),
	}
	for what, text := range bad {
		if _, err := Decode([]byte(text)); err == nil || strings.Contains(err.Error(), one) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := State{1, Publishing, t0, t0, NewSecret([16]byte([]byte("0123456789abcdef"))), NewSecret([16]byte([]byte("ABCDEFGHIJKLMNOP"))), Secret{}}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "state", s, "secret", s.Current)
	js, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v %#v", struct{ s State }{s}, struct{ s State }{s}, &struct{ x Secret }{s.Current})
	text += fmt.Sprintf("%v %+v %#v %x %d %q", s, s, s, s.Current, s.Current, s.Current) + string(js) + log.String() + s.Mark()
	for _, leak := range []string{"0123456789ab", "30313233", "ABCDEFGH", "41424344", "48 49 50", "65 66 67"} {
		if strings.Contains(text, leak) {
			t.Errorf("%q is in %s", leak, text)
		}
	}
	if !strings.Contains(text, s.Current.Tag()) {
		t.Error("no tag is shown")
	}
}
