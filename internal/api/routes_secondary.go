package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"jurymast/internal/profile"
)

// Secondary tells how the secondary zones of this node stand. Its errors are the typed ones of this package.
type Secondary interface {
	// List is all of them, by name.
	List() []SecondaryZone
	// Refresh looks for a zone now, whole fetches it whatever its serial, and waits until that has ended or ctx does.
	Refresh(ctx context.Context, zone string, whole bool) error
}

// SecondaryZone is one zone that this node fetches from another server.
type SecondaryZone struct {
	Zone      string     `json:"zone"`
	State     string     `json:"state" doc:"current, failing (the last look brought nothing, it is answered as it is), expired or missing (questions get SERVFAIL)"`
	Serial    uint32     `json:"serial" doc:"of the records that are here; 0 without any"`
	Records   int        `json:"records"`
	Primary   string     `json:"primary,omitempty" doc:"that has confirmed it last"`
	Primaries []string   `json:"primaries" doc:"in the order in which they are asked"`
	How       string     `json:"how,omitempty" doc:"of the last transfer: whole or differences; absent after a restart"`
	Bytes     int64      `json:"bytes,omitempty" doc:"of the last transfer"`
	Fetched   *time.Time `json:"fetched,omitempty" doc:"when the records came"`
	Confirmed *time.Time `json:"confirmed,omitempty" doc:"when a primary last said that they are its own"`
	Next      *time.Time `json:"next,omitempty" doc:"next look at a primary; absent while one is under way"`
	Expires   *time.Time `json:"expires,omitempty" doc:"when the zone is given up unless a primary confirms it"`
	Failures  int        `json:"failures,omitempty" doc:"looks in a row that brought nothing"`
	Trouble   string     `json:"trouble,omitempty" doc:"of the last look, each primary's"`
	Older     bool       `json:"older,omitempty" doc:"the last look found nothing but an older serial, which is not taken"`
	Refused   string     `json:"refused,omitempty" doc:"why the last transfer was not of differences, where those were tried"`
	Signed    bool       `json:"signed" doc:"by its primary; no profile answers in it then"`
	ZONEMD    string     `json:"zonemd,omitempty" doc:"its digest: verified, none, unknown (of another kind) or ignored"`
	Warnings  []string   `json:"warnings,omitempty" doc:"what of the records was hardly meant"`
}

// SecondaryList is GET /api/v1/dns/secondary.
type SecondaryList struct {
	Zones []SecondaryZone `json:"zones"`
}

type refreshInput struct {
	Zone  string `path:"zone" maxLength:"255"`
	Whole bool   `query:"whole" doc:"fetch the whole zone, whatever its serial"`
}

// refreshTime bounds how long a request waits for a transfer; it goes on afterwards.
const refreshTime = 25 * time.Second

// secondaryRoutes are about the zones this node fetches, and about this node alone.
func (s *Server) secondaryRoutes(h huma.API) {
	huma.Register(h, operation(http.MethodGet, "/dns/secondary", "list-secondary", "tools", "Zones that this node fetches from other servers"),
		func(context.Context, *struct{}) (*output[SecondaryList], error) {
			out := SecondaryList{Zones: []SecondaryZone{}}
			if s.o.Secondary != nil {
				out.Zones = s.o.Secondary.List()
			}
			return &output[SecondaryList]{out}, nil
		})
	huma.Register(h, operation(http.MethodPost, "/dns/secondary/{zone}/refresh", "refresh-zone", "tools", "Look for a newer version of a zone now", http.StatusNotFound),
		func(ctx context.Context, in *refreshInput) (*output[SecondaryZone], error) {
			t, err := s.refresh(ctx, profile.CanonicalName(in.Zone), in.Whole)
			return answer(ctx, s, t, err)
		})
}

func (s *Server) refresh(ctx context.Context, zone string, whole bool) (SecondaryZone, error) {
	if s.o.Secondary == nil {
		return SecondaryZone{}, fmt.Errorf("there is no secondary zone %s on this node: %w", zone, ErrNotFound)
	}
	wait, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	if err := s.o.Secondary.Refresh(wait, zone, whole); err != nil {
		return SecondaryZone{}, err
	}
	for _, t := range s.o.Secondary.List() {
		if t.Zone == zone {
			return t, nil
		}
	}
	return SecondaryZone{}, fmt.Errorf("zone %s was taken out meanwhile: %w", zone, ErrNotFound)
}
