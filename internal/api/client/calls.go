package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// Node is the node as a whole.
func (c *Client) Node(ctx context.Context) (*api.NodeStatus, error) {
	return get[api.NodeStatus](ctx, c, path("node"), nil)
}

// Nodes are the live nodes of the cluster.
func (c *Client) Nodes(ctx context.Context) ([]api.NodeMember, error) {
	l, err := get[api.NodeList](ctx, c, path("nodes"), nil)
	if err != nil {
		return nil, err
	}
	return l.Nodes, nil
}

// Statuses are all profiles in name order.
func (c *Client) Statuses(ctx context.Context) ([]api.ProfileStatus, error) {
	l, err := get[api.StatusList](ctx, c, path("status"), nil)
	if err != nil {
		return nil, err
	}
	return l.Profiles, nil
}

// Status is one profile.
func (c *Client) Status(ctx context.Context, name string) (*api.ProfileStatus, error) {
	return get[api.ProfileStatus](ctx, c, path("profiles", name, "status"), nil)
}

// Ready asks /readyz; not being ready is an answer, not an error.
func (c *Client) Ready(ctx context.Context) (*api.Readiness, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	req, err := c.request(ctx, call{method: http.MethodGet, path: "/readyz"})
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	r := &api.Readiness{}
	if mediaType(res) != "application/json" {
		return nil, c.foreign(res)
	}
	if err := json.NewDecoder(res.Body).Decode(r); err != nil {
		return nil, c.unreachable(ctx, fmt.Errorf("its answer cannot be read: %w", err))
	}
	return r, nil
}

// Explain is the answer a question would get now. qtype "" is A, client "" is nobody in particular, ecs "" no subnet.
func (c *Client) Explain(ctx context.Context, name, qtype, client, ecs string) (*api.Explanation, error) {
	q := url.Values{"name": {name}}
	setUnlessEmpty(q, "type", qtype)
	setUnlessEmpty(q, "client", client)
	setUnlessEmpty(q, "ecs", ecs)
	return get[api.Explanation](ctx, c, path("explain"), q)
}

// Probe runs one probe now. It takes as long as the monitor allows, up to two minutes, whatever the client's timeout.
func (c *Client) Probe(ctx context.Context, profile, endpoint string) (*api.ProbeResult, error) {
	r := &api.ProbeResult{}
	k := call{method: http.MethodPost, path: path("profiles", profile, "endpoints", endpoint, "probe"), into: r, patience: 2 * time.Minute}
	if err := c.do(ctx, k); err != nil {
		return nil, err
	}
	return r, nil
}

// Documents are the stored documents of one kind.
func (c *Client) Documents(ctx context.Context, kind profile.Kind) ([]api.Document, error) {
	var l struct{ Profiles, Zones, Safety, TSIG []api.Document }
	if err := c.do(ctx, call{method: http.MethodGet, path: path(string(kind)), into: &l}); err != nil {
		return nil, err
	}
	switch kind {
	case profile.KindZone:
		return l.Zones, nil
	case profile.KindSafety:
		return l.Safety, nil
	case profile.KindTSIG:
		return l.TSIG, nil
	case profile.KindProfile:
	}
	return l.Profiles, nil
}

// Document is one stored document.
func (c *Client) Document(ctx context.Context, kind profile.Kind, name string) (*api.Document, error) {
	return get[api.Document](ctx, c, path(string(kind), name), nil)
}

// Put creates or replaces a document with its JSON source. ifMatch is "" (whatever is there), an entity tag, "*" (it
// must exist) or api.IfAbsent.
func (c *Client) Put(ctx context.Context, kind profile.Kind, name string, source []byte, ifMatch string) (*api.Document, error) {
	d := &api.Document{}
	k := call{method: http.MethodPut, path: path(string(kind), name), header: condition(ifMatch), body: json.RawMessage(source), into: d}
	if err := c.do(ctx, k); err != nil {
		return nil, err
	}
	return d, nil
}

// Delete removes a document; ifMatch "" whatever is there.
func (c *Client) Delete(ctx context.Context, kind profile.Kind, name, ifMatch string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: path(string(kind), name), header: condition(ifMatch)})
}

func condition(ifMatch string) http.Header {
	switch ifMatch {
	case "":
		return nil
	case api.IfAbsent:
		return http.Header{"If-None-Match": {"*"}}
	}
	return http.Header{"If-Match": {ifMatch}}
}

// Apply stores documents as one change, all of them or none.
func (c *Client) Apply(ctx context.Context, docs []profile.Document) (*api.ApplyResult, error) {
	file := map[profile.Kind][]json.RawMessage{}
	for i := range docs {
		file[docs[i].Kind] = append(file[docs[i].Kind], docs[i].Source)
	}
	r := &api.ApplyResult{}
	if err := c.do(ctx, call{method: http.MethodPost, path: path("apply"), body: file, into: r}); err != nil {
		return nil, err
	}
	return r, nil
}

// Order orders something over a profile or one of its endpoints.
func (c *Client) Order(ctx context.Context, profile string, r api.OrderRequest) (*api.OrderResult, error) {
	out := &api.OrderResult{}
	if err := c.do(ctx, call{method: http.MethodPost, path: path("profiles", profile, "orders"), body: r, into: out}); err != nil {
		return nil, err
	}
	return out, nil
}

// Transact orders several things as one change.
func (c *Client) Transact(ctx context.Context, r api.TransactionRequest) (*api.OrderResult, error) {
	out := &api.OrderResult{}
	if err := c.do(ctx, call{method: http.MethodPost, path: path("orders"), body: r, into: out}); err != nil {
		return nil, err
	}
	return out, nil
}

// AllOrders are the orders in force over all profiles, open gates included.
func (c *Client) AllOrders(ctx context.Context) ([]api.OrderStatus, error) {
	l, err := get[api.OrderList](ctx, c, path("orders"), nil)
	if err != nil {
		return nil, err
	}
	return l.Orders, nil
}

// Safety are the safety rules and how they stand.
func (c *Client) Safety(ctx context.Context) ([]api.SafetyListing, error) {
	l, err := get[api.SafetyList](ctx, c, path("safety"), nil)
	if err != nil {
		return nil, err
	}
	return l.Safety, nil
}

// Signal says that an endpoint with an external check is up or down; token is the endpoint's own.
func (c *Client) Signal(ctx context.Context, profile, endpoint, token string, r api.SignalRequest) (*api.SignalResult, error) {
	out := &api.SignalResult{}
	k := call{method: http.MethodPost, path: path("profiles", profile, "endpoints", endpoint, "signal"), body: r, into: out}
	k.header = http.Header{"Authorization": {"Bearer " + token}}
	if err := c.do(ctx, k); err != nil {
		return nil, err
	}
	return out, nil
}

// Orders are the orders in force over a profile.
func (c *Client) Orders(ctx context.Context, profile string) ([]api.OrderStatus, error) {
	l, err := get[api.OrderList](ctx, c, path("profiles", profile, "orders"), nil)
	if err != nil {
		return nil, err
	}
	return l.Orders, nil
}

// EndOrder ends one order by its id.
func (c *Client) EndOrder(ctx context.Context, profile, id, note string, breakGlass bool) (*api.OrderResult, error) {
	q := url.Values{}
	setUnlessEmpty(q, "note", note)
	if breakGlass {
		q.Set("breakGlass", "true")
	}
	out := &api.OrderResult{}
	if err := c.do(ctx, call{method: http.MethodDelete, path: path("profiles", profile, "orders", id), query: q, into: out}); err != nil {
		return nil, err
	}
	return out, nil
}

// JournalQuery narrows the journal; the zero value is the newest 100 entries.
type JournalQuery struct {
	Profile string
	Kind    health.EntryKind
	Since   time.Time
	Limit   int // 1..10000; 0: 100
}

// Journal is what happened, oldest first.
func (c *Client) Journal(ctx context.Context, q JournalQuery) ([]health.Entry, error) {
	v := url.Values{}
	setUnlessEmpty(v, "profile", q.Profile)
	setUnlessEmpty(v, "kind", string(q.Kind))
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	return c.entries(ctx, path("journal"), v, q.Limit)
}

// Audit is who ordered or changed what, oldest first; limit 0: 100.
func (c *Client) Audit(ctx context.Context, limit int) ([]health.Entry, error) {
	return c.entries(ctx, path("audit"), url.Values{}, limit)
}

func (c *Client) entries(ctx context.Context, p string, q url.Values, limit int) ([]health.Entry, error) {
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	l, err := get[api.EntryList](ctx, c, p, q)
	if err != nil {
		return nil, err
	}
	return l.Entries, nil
}

func get[T any](ctx context.Context, c *Client, p string, q url.Values) (*T, error) {
	out := new(T)
	if err := c.do(ctx, call{method: http.MethodGet, path: p, query: q, into: out}); err != nil {
		return nil, err
	}
	return out, nil
}

func setUnlessEmpty(q url.Values, key, value string) {
	if value != "" {
		q.Set(key, value)
	}
}
