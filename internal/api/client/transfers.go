package client

import (
	"context"
	"net/http"

	"jurymast/internal/api"
)

// ZoneTransfers is what secondaries get of a zone from this node.
func (c *Client) ZoneTransfers(ctx context.Context, zone string) (*api.ZoneTransfers, error) {
	return get[api.ZoneTransfers](ctx, c, path("zones", zone, "transfers"), nil)
}

// NotifyZone tells all secondaries of a zone at once.
func (c *Client) NotifyZone(ctx context.Context, zone, why string) (*api.ZoneTransfers, error) {
	out := &api.ZoneTransfers{}
	return out, c.do(ctx, call{method: http.MethodPost, path: path("zones", zone, "notify"), body: note{why}, into: out})
}
