package client

import (
	"context"
	"net/http"
	"net/url"

	"jurymast/internal/api"
)

// Secondary are the zones that the node fetches from other servers.
func (c *Client) Secondary(ctx context.Context) (*api.SecondaryList, error) {
	return get[api.SecondaryList](ctx, c, path("dns", "secondary"), nil)
}

// RefreshZone looks for a newer version of a zone now; whole fetches it whatever its serial.
func (c *Client) RefreshZone(ctx context.Context, zone string, whole bool) (*api.SecondaryZone, error) {
	q := url.Values{}
	if whole {
		q.Set("whole", "true")
	}
	out := &api.SecondaryZone{}
	return out, c.do(ctx, call{method: http.MethodPost, path: path("dns", "secondary", zone, "refresh"), query: q, into: out})
}
