package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jurymast/internal/cluster/roll"
	"jurymast/internal/cluster/seal"
	"jurymast/internal/health"
	"jurymast/internal/store"
)

// SealedCookies is the name of the sealed record with the cookie secrets.
const SealedCookies = "dns-cookies"

// CookieOptions of KeepCookies.
type CookieOptions struct {
	Rules roll.Rules
	// Use takes a new state into use, at once: the node acknowledges it when Use has returned. box is the same as it is
	// stored, for who wants to keep it.
	Use func(s roll.State, box seal.Box)
	// Files: this node has its secrets from files. It takes no part, and Use is never called.
	Files bool
}

// rollAsk is the key by which any node asks the leader for a change.
type rollAsk struct {
	Node string    `json:"node"`
	By   string    `json:"by"`
	Note string    `json:"note,omitempty"`
	At   time.Time `json:"at"`
}

// KeepCookies uses the cookie secrets that all nodes share, acknowledges them, and, while this node leads, takes the
// next step of their change and seals records anew after a change of the seal key. It returns when ctx ends.
func (c *Cluster) KeepCookies(ctx context.Context, o CookieOptions) {
	k := cookieKeeper{c: c, o: o}
	tend(ctx, c.secrets.wake, k.look)
}

type cookieKeeper struct {
	c      *Cluster
	o      CookieOptions
	state  roll.State // what Use got last
	rev    int64      // its revision in the store
	used   string     // its mark
	key    string     // what it was sealed with
	logged string     // the trouble that was logged last
}

// look uses what is stored, then leads if it is this node's turn.
func (k *cookieKeeper) look(ctx context.Context) {
	if !k.c.inSession() {
		return // what is in use stays in use
	}
	state, rev, err := k.read()
	var sealErr error
	if _, leads := k.c.fence(); leads {
		if err == nil || errors.Is(err, ErrNoRecord) {
			err = k.advance(ctx, state, rev)
		}
		sealErr = k.c.reseal(ctx)
	}
	k.note(err, sealErr)
}

// read takes what is stored into use; state is nil when nothing is.
func (k *cookieKeeper) read() (*roll.State, int64, error) {
	switch {
	case k.o.Files:
		k.c.acknowledge(roll.MarkFiles)
		return nil, 0, nil
	case k.c.keyless():
		k.c.acknowledge(roll.MarkOwn)
		return nil, 0, nil
	}
	if rev := k.c.sealedRev(SealedCookies); rev != 0 && rev == k.rev {
		k.c.acknowledge(k.used)
		return &k.state, rev, nil
	}
	plain, box, rev, err := k.c.Sealed(SealedCookies)
	if err != nil {
		return nil, rev, err
	}
	state, err := roll.Decode(plain)
	if err != nil {
		return nil, rev, fmt.Errorf("record sealed/%s: %w; give it up with: jurymast seal forget %[1]s", SealedCookies, err)
	}
	if mark := state.Mark(); mark != k.used || box.Key != k.key {
		k.o.Use(state, box)
		k.used, k.key = mark, box.Key
		k.c.o.Logger.Info("cookie secrets", "step", state.Step, "stage", state.Stage, "issues", state.Current.Tag())
	}
	k.state, k.rev = state, rev
	k.c.acknowledge(k.used)
	return &state, rev, nil
}

// advance takes the next step, if one is due.
func (k *cookieKeeper) advance(ctx context.Context, state *roll.State, rev int64) error {
	c := k.c
	if k.o.Files || c.keyless() {
		return nil // there is nothing this node could write
	}
	c.mu.Lock()
	ask, askRev := c.st.sealed.ask, c.st.sealed.askRev
	live := marks(c.st.members())
	c.mu.Unlock()
	var fresh [16]byte
	_, _ = rand.Read(fresh[:]) // never fails
	facts := roll.Facts{Now: time.Now().UTC().Round(0), Live: live, Ordered: askRev != 0, Fresh: roll.NewSecret(fresh)}
	next, due := roll.Begin(facts), true
	if state != nil {
		next, due = state.Advance(k.o.Rules, facts)
	}
	if !due {
		return nil
	}
	plain, err := next.Encode()
	if err != nil {
		return err
	}
	ops := []store.Op{c.entryOp(cookieEntry(c.o.Node.Name, state, &next, ask))}
	if askRev != 0 {
		ops = append(ops, store.Delete(keyRollAsk))
	}
	_, err = c.writeSealed(ctx, SealedCookies, rev, plain, ops...)
	return err // written or not, the watch shows what is stored; the next look goes on from there
}

func marks(nodes []NodeRecord) []roll.Node {
	out := make([]roll.Node, len(nodes))
	for i := range nodes {
		out[i] = roll.Node{Name: nodes[i].Name, Mark: nodes[i].Cookies}
	}
	return out
}

// cookieEntry is the line of the journal for one step: tags, never secrets.
func cookieEntry(node string, old, next *roll.State, ask rollAsk) health.Entry {
	e := health.Entry{At: next.Since, Node: node, Kind: health.EntrySecret, To: "dns cookies " + string(next.Stage)}
	if old != nil {
		e.From = "dns cookies " + string(old.Stage)
	}
	switch {
	case old == nil:
		e.Reason, e.Note = "first secret", "all nodes issue "+next.Current.Tag()
	case old.Stage == next.Stage:
		e.Reason, e.Note = "clock", "the stage began in the future; it is counted from now"
	case next.Stage == roll.Publishing:
		e.Reason, e.Note = "daily", "next "+next.Next.Tag()+" is verified"
		if ask.By != "" {
			e.Reason, e.By = "ordered", ask.By
		}
	case next.Stage == roll.Switching:
		e.Reason, e.Note = "acknowledged by all live nodes", "all issue "+next.Current.Tag()+", "+next.Previous.Tag()+" is still verified"
	case next.Stage == roll.Retiring:
		e.Reason, e.Note = "acknowledged by all live nodes", "nobody issues "+next.Previous.Tag()+" any more"
	case next.Stage == roll.Steady:
		e.Reason, e.Note = "its cookies have run out", old.Previous.Tag()+" is dropped"
	}
	return e
}

// note remembers and logs what keeps this node from the shared secrets; a store that is away is told elsewhere.
func (k *cookieKeeper) note(errs ...error) {
	passes := []error{nil, ErrNoRecord, store.ErrUnavailable, context.DeadlineExceeded, context.Canceled}
	var texts []string
	for _, err := range errs {
		if !slices.ContainsFunc(passes, func(p error) bool { return errors.Is(err, p) }) && !slices.Contains(texts, err.Error()) {
			texts = append(texts, err.Error())
		}
	}
	text := strings.ReplaceAll(strings.Join(texts, "; "), "\n", "; ")
	if text != "" && text != k.logged {
		k.c.o.Logger.Error("a shared secret cannot be used", "error", text)
	}
	k.logged = text
	k.c.mu.Lock()
	k.c.secrets.trouble = text
	k.c.mu.Unlock()
}

// acknowledge tells the others what this node uses.
func (c *Cluster) acknowledge(mark string) {
	c.mu.Lock()
	same := c.o.Node.Cookies == mark
	c.o.Node.Cookies = mark
	c.mu.Unlock()
	if !same {
		c.out.put(func(q *pending) { q.node = true })
	}
}

func (c *Cluster) keyless() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.secrets.keys.Empty()
}

// SecretTrouble says in one line what keeps this node from using the shared secrets, "" when nothing does.
func (c *Cluster) SecretTrouble() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.secrets.trouble != "" && c.secrets.keyTrouble != "" {
		return c.secrets.trouble + "; " + c.secrets.keyTrouble
	}
	return c.secrets.trouble + c.secrets.keyTrouble
}

// CookieStatus is how the cookie secrets stand. State is nil when this node cannot read them or there are none yet.
type CookieStatus struct {
	State   *roll.State
	Mark    string // what this node says of itself
	Asked   bool   // a change is ordered and not begun
	Nodes   []roll.Node
	Trouble string
}

// CookieStatus tells how the cookie secrets stand, as this node knows it.
func (c *Cluster) CookieStatus() CookieStatus {
	plain, _, _, err := c.Sealed(SealedCookies)
	c.mu.Lock()
	defer c.mu.Unlock()
	out := CookieStatus{Mark: c.o.Node.Cookies, Asked: c.st.sealed.askRev != 0, Nodes: marks(c.st.members()), Trouble: c.secrets.trouble}
	if err == nil {
		if s, err := roll.Decode(plain); err == nil {
			out.State = &s
		}
	}
	return out
}

// RollCookies asks the leader to change the cookie secret. ErrRefused says why that cannot begin now.
func (c *Cluster) RollCookies(ctx context.Context, by, note string) error {
	if !c.inSession() {
		return fmt.Errorf("%w: %s", store.ErrUnavailable, c.Trouble())
	}
	plain, _, rev, err := c.Sealed(SealedCookies)
	if errors.Is(err, ErrNoRecord) {
		return fmt.Errorf("%w: there is no shared cookie secret yet; it is made when the leader has a seal key (node.store.seal) and no files under node.nameserver.cookies", ErrRefused)
	}
	var state roll.State
	if err == nil {
		state, err = roll.Decode(plain)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	c.mu.Lock()
	askRev := c.st.sealed.askRev
	c.mu.Unlock()
	if state.Stage != roll.Steady || askRev != 0 {
		return fmt.Errorf("%w: a change is under way (%s since %s); wait until jurymast zone cookies shows steady", ErrRefused, state.Stage, state.Since.UTC().Format(time.RFC3339))
	}
	at := time.Now().UTC()
	val, err := json.Marshal(rollAsk{Node: c.o.Node.Name, By: by, Note: note, At: at})
	if err != nil {
		return err
	}
	entry := health.Entry{At: at, Node: c.o.Node.Name, Kind: health.EntryAct, To: "dns cookies roll", By: by, Note: note}
	conds := []store.Cond{{Key: keySealed(SealedCookies), Rev: rev}, {Key: keyRollAsk}}
	_, ok, err := c.o.Store.Commit(ctx, conds, []store.Op{store.Put(keyRollAsk, val), c.entryOp(entry)})
	if err == nil && !ok {
		return fmt.Errorf("%w: a change began at the same moment; look with jurymast zone cookies", ErrRefused)
	}
	return err
}
