package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Zones are the zones as they are served, and their DNSSEC keys. Errors are the typed ones of this package. Export is the
// only method that gives out private keys; it is asked only by who holds the other end of the unix socket.
type Zones interface {
	Zones() []ZoneStatus
	Keys(zone string) (ZoneKeys, error)
	DS(zone string, digest uint8) (ZoneDS, error)
	OrderKeys(ctx context.Context, zone string, o KeyOrder, by, note string) error
	ExportKeys(ctx context.Context, zone, by, note string) (KeyExport, error)
}

type zoneInput struct {
	Name string `path:"name" maxLength:"255"`
}

type dsInput struct {
	Name   string `path:"name" maxLength:"255"`
	Digest string `query:"digest" enum:"2,4" default:"2" doc:"type of the digest: 2 is SHA-256, 4 is SHA-384"`
}

type zoneNoteInput struct {
	Name string `path:"name" maxLength:"255"`
	Body struct {
		Note string `json:"note,omitempty" maxLength:"1000" doc:"why; kept in the journal"`
	}
}

type rollInput struct {
	Name string `path:"name" maxLength:"255"`
	Body KeyRoll
}

type seenInput struct {
	Name string `path:"name" maxLength:"255"`
	Body struct {
		TTL  int    `json:"ttl,omitempty" minimum:"0" maximum:"604800" doc:"of the DS set at the parent, in seconds; 0: as it was seen, or a day"`
		Note string `json:"note,omitempty" maxLength:"1000" doc:"why; kept in the journal"`
	}
}

type cdsInput struct {
	Name string `path:"name" maxLength:"255"`
	Body struct {
		Mode string `json:"mode" enum:"auto,publish,delete,off"`
		Note string `json:"note,omitempty" maxLength:"1000" doc:"why; kept in the journal"`
	}
}

type importInput struct {
	Name string `path:"name" maxLength:"255"`
	Body struct {
		Files []KeyFile `json:"files" minItems:"1" maxItems:"2"`
		Note  string    `json:"note,omitempty" maxLength:"1000" doc:"why; kept in the journal"`
	}
}

// zoneRoutes tell of zones, and show and change their keys.
func (s *Server) zoneRoutes(h huma.API) {
	z := s.o.Zones
	if z == nil {
		return
	}
	huma.Register(h, operation(http.MethodGet, "/dns/zones", "zones-status", "zones", "All zones as they are served"),
		func(context.Context, *struct{}) (*output[[]ZoneStatus], error) {
			return &output[[]ZoneStatus]{z.Zones()}, nil
		})
	huma.Register(h, operation(http.MethodGet, "/zones/{name}/status", "zone-status", "zones", "A zone as it is served", http.StatusNotFound),
		func(ctx context.Context, in *zoneInput) (*output[ZoneStatus], error) {
			for _, one := range z.Zones() {
				if one.Name == in.Name {
					return &output[ZoneStatus]{one}, nil
				}
			}
			return answer(ctx, s, ZoneStatus{}, fmt.Errorf("%w: there is no such zone", ErrNotFound))
		})
	huma.Register(h, operation(http.MethodGet, "/zones/{name}/keys", "zone-keys", "zones", "The DNSSEC keys of a zone and how far their change is", http.StatusNotFound),
		func(ctx context.Context, in *zoneInput) (*output[ZoneKeys], error) {
			keys, err := z.Keys(in.Name)
			return answer(ctx, s, keys, err)
		})
	huma.Register(h, operation(http.MethodGet, "/zones/{name}/ds", "zone-ds", "zones", "What the parent of a zone has to be given", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *dsInput) (*output[ZoneDS], error) {
			ds, err := z.DS(in.Name, map[string]uint8{"2": 2, "4": 4}[in.Digest])
			return answer(ctx, s, ds, err)
		})
	s.keyOrders(h)
	s.keyFiles(h)
}

// keyOrders change keys.
func (s *Server) keyOrders(h huma.API) {
	huma.Register(h, operation(http.MethodPost, "/zones/{name}/keys/roll", "roll-zone-keys", "zones", "Change the keys of a zone, in stages", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *rollInput) (*output[ZoneKeys], error) {
			return s.keyOrder(ctx, in.Name, KeyOrder{Roll: &in.Body}, in.Body.Note, "the roll has begun; no resolver finds the zone bogus on the way")
		})
	huma.Register(h, operation(http.MethodPost, "/zones/{name}/keys/ds-seen", "see-zone-ds", "zones", "Say that the parent has the DS it should have", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *seenInput) (*output[ZoneKeys], error) {
			ttl := time.Duration(in.Body.TTL) * time.Second
			return s.keyOrder(ctx, in.Name, KeyOrder{SeenDS: &ttl}, in.Body.Note, "noted; the change goes on without waiting for the parent's servers, unless one of them answers and shows something else")
		})
	huma.Register(h, operation(http.MethodPost, "/zones/{name}/cds", "use-zone-cds", "zones", "Say when the zone asks its parent for a DS", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *cdsInput) (*output[ZoneKeys], error) {
			return s.keyOrder(ctx, in.Name, KeyOrder{CDS: in.Body.Mode}, in.Body.Note, "CDS and CDNSKEY: "+in.Body.Mode)
		})
	huma.Register(h, operation(http.MethodPost, "/zones/{name}/keys/import", "import-zone-keys", "zones", "Bring keys made elsewhere into use; over the unix socket alone", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *importInput) (*output[ZoneKeys], error) {
			if !peerOf(ctx).socket {
				return nil, errOnlySocket
			}
			return s.keyOrder(ctx, in.Name, KeyOrder{Import: in.Body.Files}, in.Body.Note, "the keys are imported")
		})
}

func (s *Server) keyOrder(ctx context.Context, zone string, o KeyOrder, note, done string) (*output[ZoneKeys], error) {
	err := s.secretAct(ctx, note, func(ctx context.Context, by, note string) error { return s.o.Zones.OrderKeys(ctx, zone, o, by, note) })
	if err != nil {
		return answer(ctx, s, ZoneKeys{}, err)
	}
	keys, err := s.o.Zones.Keys(zone)
	keys.Message = done
	return answer(ctx, s, keys, err)
}

// errOnlySocket refuses what must not travel where every user of the machine may listen and ask.
var errOnlySocket = newProblem(http.StatusForbidden, CodeForbidden, "private keys are given and taken over the unix socket of node.api.socket alone; use --api unix:///path")

// keyFiles gives out private keys: audited, and to whom the socket's mode lets in.
func (s *Server) keyFiles(h huma.API) {
	huma.Register(h, operation(http.MethodPost, "/zones/{name}/keys/export", "export-zone-keys", "zones", "The private keys of a zone, in BIND's format; over the unix socket alone, and noted in the journal", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *zoneNoteInput) (*output[KeyExport], error) {
			if !peerOf(ctx).socket {
				return nil, errOnlySocket
			}
			var out KeyExport
			err := s.secretAct(ctx, in.Body.Note, func(ctx context.Context, by, note string) (err error) {
				out, err = s.o.Zones.ExportKeys(ctx, in.Name, by, note)
				return err
			})
			return answer(ctx, s, out, err)
		})
}
