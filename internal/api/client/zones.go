package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"jurymast/internal/api"
)

// Zones are all zones as they are served.
func (c *Client) Zones(ctx context.Context) (*[]api.ZoneStatus, error) {
	return get[[]api.ZoneStatus](ctx, c, path("dns", "zones"), nil)
}

// Zone is a zone as it is served.
func (c *Client) Zone(ctx context.Context, zone string) (*api.ZoneStatus, error) {
	return get[api.ZoneStatus](ctx, c, path("zones", zone, "status"), nil)
}

// ZoneKeys are the DNSSEC keys of a zone and how far their change is.
func (c *Client) ZoneKeys(ctx context.Context, zone string) (*api.ZoneKeys, error) {
	return get[api.ZoneKeys](ctx, c, path("zones", zone, "keys"), nil)
}

// ZoneDS is what the parent of a zone has to be given, with a digest of type 2 or 4.
func (c *Client) ZoneDS(ctx context.Context, zone string, digest int) (*api.ZoneDS, error) {
	return get[api.ZoneDS](ctx, c, path("zones", zone, "ds"), url.Values{"digest": {strconv.Itoa(digest)}})
}

// RollZoneKeys changes the keys of a zone, in stages.
func (c *Client) RollZoneKeys(ctx context.Context, zone string, r *api.KeyRoll) (*api.ZoneKeys, error) {
	return c.zoneAct(ctx, zone, r, "keys", "roll")
}

// SeeZoneDS says that the parent has the DS it should have. ttl is that of the DS set; 0: as it was seen, or a day.
func (c *Client) SeeZoneDS(ctx context.Context, zone string, ttl time.Duration, why string) (*api.ZoneKeys, error) {
	body := struct {
		TTL int `json:"ttl,omitempty"`
		note
	}{int(ttl.Seconds()), note{why}}
	return c.zoneAct(ctx, zone, body, "keys", "ds-seen")
}

// UseZoneCDS says when the zone asks its parent for a DS: auto, publish, delete or off.
func (c *Client) UseZoneCDS(ctx context.Context, zone, mode, why string) (*api.ZoneKeys, error) {
	body := struct {
		Mode string `json:"mode"`
		note
	}{mode, note{why}}
	return c.zoneAct(ctx, zone, body, "cds")
}

// ImportZoneKeys brings keys made elsewhere into use.
func (c *Client) ImportZoneKeys(ctx context.Context, zone string, files []api.KeyFile, why string) (*api.ZoneKeys, error) {
	body := struct {
		Files []api.KeyFile `json:"files"`
		note
	}{files, note{why}}
	return c.zoneAct(ctx, zone, body, "keys", "import")
}

// ExportZoneKeys gets the private keys of a zone.
func (c *Client) ExportZoneKeys(ctx context.Context, zone, why string) (*api.KeyExport, error) {
	out := &api.KeyExport{}
	return out, c.do(ctx, call{method: http.MethodPost, path: path("zones", zone, "keys", "export"), body: note{why}, into: out})
}

func (c *Client) zoneAct(ctx context.Context, zone string, body any, verb ...string) (*api.ZoneKeys, error) {
	out := &api.ZoneKeys{}
	return out, c.do(ctx, call{method: http.MethodPost, path: path(append([]string{"zones", zone}, verb...)...), body: body, into: out})
}
