package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Transfers are the zones that secondaries may fetch. Its errors are the typed ones of this package.
type Transfers interface {
	// Transfers is how a zone stands on this node.
	Transfers(zone string) (ZoneTransfers, error)
	// NotifyZone tells all secondaries of a zone its serial at once.
	NotifyZone(ctx context.Context, zone, by, note string) error
}

// ZoneTransfers is GET /api/v1/zones/NAME/transfers: what secondaries get of a zone from this node.
type ZoneTransfers struct {
	Message     string          `json:"message,omitempty" doc:"what was done"`
	Zone        string          `json:"zone"`
	Serial      uint32          `json:"serial" doc:"of SOA answers and transfers; 0 while it is not known"`
	Ready       bool            `json:"ready" doc:"there is a version to fetch"`
	Waiting     string          `json:"waiting,omitempty" doc:"why there is none, or not the newest"`
	Records     int             `json:"records"`
	Steps       int             `json:"steps" doc:"versions from which a difference (IXFR) can be told"`
	Secondaries []ZoneSecondary `json:"secondaries" doc:"those that are told (transfer.notify)"`
	Fetches     []ZoneFetch     `json:"fetches" doc:"the last transfer of each client since this node started"`
}

// ZoneSecondary is one secondary that is told of changes.
type ZoneSecondary struct {
	Address      string     `json:"address"`
	Key          string     `json:"key,omitempty"`
	Acknowledged *uint32    `json:"acknowledged,omitempty" doc:"the serial it has answered to last"`
	At           *time.Time `json:"at,omitempty" doc:"of that"`
	Pending      bool       `json:"pending,omitempty" doc:"it is being told"`
	Trouble      string     `json:"trouble,omitempty" doc:"what came of the last try, if it was in vain"`
	GivenUp      bool       `json:"givenUp,omitempty" doc:"all tries for the last serial were in vain"`
}

// ZoneFetch is one transfer.
type ZoneFetch struct {
	From   string    `json:"from"`
	Serial uint32    `json:"serial"`
	Kind   string    `json:"kind" enum:"axfr,ixfr,current" doc:"the whole zone, steps, or nothing new"`
	At     time.Time `json:"at"`
}

// transferRoutes show what secondaries get, and tell them.
func (s *Server) transferRoutes(h huma.API) {
	if s.o.Transfers == nil {
		return
	}
	huma.Register(h, operation(http.MethodGet, "/zones/{name}/transfers", "get-zone-transfers", "documents", "What secondaries get of a zone from this node", http.StatusNotFound),
		func(ctx context.Context, in *zoneInput) (*output[ZoneTransfers], error) {
			out, err := s.o.Transfers.Transfers(in.Name)
			return answer(ctx, s, out, err)
		})
	huma.Register(h, operation(http.MethodPost, "/zones/{name}/notify", "notify-zone", "documents", "Tell all secondaries of a zone at once", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *zoneNoteInput) (*output[ZoneTransfers], error) {
			err := s.secretAct(ctx, in.Body.Note, func(ctx context.Context, by, note string) error {
				return s.o.Transfers.NotifyZone(ctx, in.Name, by, note)
			})
			var out ZoneTransfers
			if err == nil {
				out, err = s.o.Transfers.Transfers(in.Name)
				out.Message = "the secondaries are being told"
			}
			return answer(ctx, s, out, err)
		})
}
