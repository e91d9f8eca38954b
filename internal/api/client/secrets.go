package client

import (
	"context"
	"net/http"
	"net/url"

	"jurymast/internal/api"
)

// note is the body of an act that needs nothing but a reason.
type note struct {
	Note string `json:"note,omitempty"`
}

// Seal is how the secrets in the store are sealed.
func (c *Client) Seal(ctx context.Context) (*api.SealStatus, error) {
	return get[api.SealStatus](ctx, c, path("seal"), nil)
}

// RotateSeal seals everything with another key.
func (c *Client) RotateSeal(ctx context.Context, why string) (*api.SealStatus, error) {
	out := &api.SealStatus{}
	return out, c.do(ctx, call{method: http.MethodPost, path: path("seal", "rotate"), body: note{why}, into: out})
}

// ForgetSealed gives up a sealed record whose key is lost.
func (c *Client) ForgetSealed(ctx context.Context, name, why string) (*api.SealStatus, error) {
	q := url.Values{}
	setUnlessEmpty(q, "note", why)
	out := &api.SealStatus{}
	return out, c.do(ctx, call{method: http.MethodDelete, path: path("seal", "records", name), query: q, into: out})
}

// Cookies is the secret behind DNS cookies and how far its change is.
func (c *Client) Cookies(ctx context.Context) (*api.CookieStatus, error) {
	return get[api.CookieStatus](ctx, c, path("dns", "cookies"), nil)
}

// RollCookies changes the secret behind DNS cookies, in stages.
func (c *Client) RollCookies(ctx context.Context, why string) (*api.CookieStatus, error) {
	out := &api.CookieStatus{}
	return out, c.do(ctx, call{method: http.MethodPost, path: path("dns", "cookies", "roll"), body: note{why}, into: out})
}
