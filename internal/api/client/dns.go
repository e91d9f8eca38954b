package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"jurymast/internal/api"
)

// TopQuery says which list of questions is wanted. Zero fields are the node's defaults.
type TopQuery struct {
	By, Profile, Span string
	Limit             int
}

// Top is what was asked most of the node lately.
func (c *Client) Top(ctx context.Context, want TopQuery) (*api.TopList, error) {
	q := url.Values{}
	setUnlessEmpty(q, "by", want.By)
	setUnlessEmpty(q, "profile", want.Profile)
	setUnlessEmpty(q, "span", want.Span)
	if want.Limit > 0 {
		q.Set("limit", strconv.Itoa(want.Limit))
	}
	return get[api.TopList](ctx, c, path("dns", "top"), q)
}

// Limits tells whom the node gives fewer answers than they ask for.
func (c *Client) Limits(ctx context.Context, most int) (*api.DNSLimits, error) {
	return get[api.DNSLimits](ctx, c, path("dns", "limits"), url.Values{"limit": {strconv.Itoa(most)}})
}

// QueryLog is where the node writes questions, and of which profiles all.
func (c *Client) QueryLog(ctx context.Context) (*api.LogStatus, error) {
	return get[api.LogStatus](ctx, c, path("dns", "log"), nil)
}

// WatchQueries writes every question for a profile for a while, in Go's notation; 0s ends it.
func (c *Client) WatchQueries(ctx context.Context, profile, duration string) (*api.LogStatus, error) {
	l := &api.LogStatus{}
	k := call{method: http.MethodPost, path: path("dns", "log"), body: api.LogRequest{Profile: profile, For: duration}, into: l}
	if err := c.do(ctx, k); err != nil {
		return nil, err
	}
	return l, nil
}
