package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Secrets are what all nodes share and nobody may read: how they are sealed, and how the cookie secret of DNS is changed.
// No method gives out a secret or a key; they are named by tags and ids. Its errors are the typed ones of this package.
type Secrets interface {
	Seal() SealStatus
	RotateSeal(ctx context.Context, by, note string) error
	ForgetSealed(ctx context.Context, name, by, note string) error
	Cookies() CookieStatus
	RollCookies(ctx context.Context, by, note string) error
}

// SealStatus is GET /api/v1/seal: how the secrets in the store are sealed. Keys are named by their ids.
type SealStatus struct {
	Message  string         `json:"message,omitempty" doc:"what was done"`
	File     string         `json:"file,omitempty" doc:"this node's key file; empty: it has none and seals nothing"`
	Keys     []string       `json:"keys" doc:"ids of the keys in this node's file"`
	Key      string         `json:"key,omitempty" doc:"id of the key that seals; empty: nothing is sealed yet"`
	Previous string         `json:"previous,omitempty" doc:"id of the one before"`
	Since    *time.Time     `json:"since,omitempty"`
	By       string         `json:"by,omitempty"`
	Records  []SealedRecord `json:"records"`
	Nodes    []SealNode     `json:"nodes"`
	Trouble  string         `json:"trouble,omitempty" doc:"what keeps this node from using a record, and the remedy"`
}

// SealedRecord is one secret in the store.
type SealedRecord struct {
	Name string `json:"name"`
	Key  string `json:"key" doc:"id of the key it is sealed with"`
}

// SealNode is a live node and the keys it has.
type SealNode struct {
	Name string   `json:"name"`
	Keys []string `json:"keys"`
}

// CookieStatus is GET /api/v1/dns/cookies: the secret behind DNS cookies. Secrets are named by their tags.
type CookieStatus struct {
	Message  string       `json:"message,omitempty" doc:"what was done"`
	Source   string       `json:"source" doc:"of this node's secret: store, files, own (no seal key, or not known yet) or off"`
	Stage    string       `json:"stage,omitempty" doc:"store: steady, publishing, switching or retiring"`
	Step     uint64       `json:"step,omitempty" doc:"store: grows with every stage"`
	Since    *time.Time   `json:"since,omitempty" doc:"when the stage began"`
	Due      *time.Time   `json:"due,omitempty" doc:"when it ends by itself; absent while nodes are waited for"`
	Issued   *time.Time   `json:"issued,omitempty" doc:"since when the current secret is issued"`
	Current  string       `json:"current,omitempty" doc:"tag of the secret new cookies are made with"`
	Next     string       `json:"next,omitempty" doc:"tag of the secret that is verified before it is issued"`
	Previous string       `json:"previous,omitempty" doc:"tag of the secret that is still verified"`
	Ordered  bool         `json:"ordered,omitempty" doc:"a change is ordered and the leader has not begun it yet"`
	Nodes    []CookieNode `json:"nodes"`
	Trouble  string       `json:"trouble,omitempty" doc:"what keeps this node from using the shared secret, and the remedy"`
}

// CookieNode is a live node and what it uses.
type CookieNode struct {
	Name         string `json:"name"`
	Source       string `json:"source" doc:"store, files, own, or empty while it has not said"`
	Acknowledged bool   `json:"acknowledged" doc:"it uses the stage as shown here; one that takes part is waited for until it does"`
}

type noteInput struct {
	Body struct {
		Note string `json:"note,omitempty" maxLength:"1000" doc:"why; kept in the journal"`
	}
}

type forgetInput struct {
	Name string `path:"name" maxLength:"200"`
	Note string `query:"note" maxLength:"1000"`
}

// secretRoutes show and change how secrets are kept, never the secrets.
func (s *Server) secretRoutes(h huma.API) {
	if s.o.Secrets == nil {
		return
	}
	huma.Register(h, operation(http.MethodGet, "/seal", "get-seal", "secrets", "How the secrets in the store are sealed"),
		func(context.Context, *struct{}) (*output[SealStatus], error) {
			return &output[SealStatus]{s.o.Secrets.Seal()}, nil
		})
	huma.Register(h, operation(http.MethodPost, "/seal/rotate", "rotate-seal", "secrets", "Seal everything with another key", http.StatusConflict),
		func(ctx context.Context, in *noteInput) (*output[SealStatus], error) {
			before := s.o.Secrets.Seal()
			err := s.secretAct(ctx, in.Body.Note, s.o.Secrets.RotateSeal)
			out := s.o.Secrets.Seal()
			out.Message = "everything is sealed with key " + out.Key + takenOut(before.Keys, &out)
			return answer(ctx, s, out, err)
		})
	huma.Register(h, operation(http.MethodDelete, "/seal/records/{name}", "forget-sealed", "secrets", "Give up a sealed record whose key is lost", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *forgetInput) (*output[SealStatus], error) {
			err := s.secretAct(ctx, in.Note, func(ctx context.Context, by, note string) error {
				return s.o.Secrets.ForgetSealed(ctx, in.Name, by, note)
			})
			out := s.o.Secrets.Seal()
			out.Message = fmt.Sprintf("the record %s is given up", in.Name)
			return answer(ctx, s, out, err)
		})
	huma.Register(h, operation(http.MethodGet, "/dns/cookies", "get-cookies", "secrets", "The secret behind DNS cookies and how far its change is"),
		func(context.Context, *struct{}) (*output[CookieStatus], error) {
			return &output[CookieStatus]{s.o.Secrets.Cookies()}, nil
		})
	huma.Register(h, operation(http.MethodPost, "/dns/cookies/roll", "roll-cookies", "secrets", "Change the secret behind DNS cookies, in stages", http.StatusConflict),
		func(ctx context.Context, in *noteInput) (*output[CookieStatus], error) {
			err := s.secretAct(ctx, in.Body.Note, s.o.Secrets.RollCookies)
			out := s.o.Secrets.Cookies()
			out.Message = "the change is ordered; no cookie is refused on the way"
			return answer(ctx, s, out, err)
		})
}

// takenOut tells of the keys that were in the file of a node alone and are not any more.
func takenOut(before []string, now *SealStatus) string {
	gone := slices.DeleteFunc(slices.Clone(before), func(id string) bool { return slices.Contains(now.Keys, id) })
	if len(gone) == 0 {
		return ""
	}
	return fmt.Sprintf("; key %s is taken out of %s: copies of the store from before need it, keep yours", strings.Join(gone, ", "), now.File)
}

// secretAct runs one act under the name of who asks, bounded.
func (s *Server) secretAct(ctx context.Context, note string, act func(ctx context.Context, by, note string) error) error {
	write, cancel := bounded(ctx)
	defer cancel()
	return act(write, actorOf(ctx), printable(note, maxNote))
}
