package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"syscall"
	"time"
)

// Options of a client. The zero value is usable.
type Options struct {
	Timeout time.Duration // of one call; 0: 30s. Events have none
	Token   string        // bearer token, sent when not empty
	By      string        // for whom it acts, shown in brackets behind the connection's own name
	Agent   string        // User-Agent; "": jurymast
}

const defaultTimeout = 30 * time.Second

// Client talks to one node. It is safe for use by several goroutines.
type Client struct {
	o     Options
	base  string // http://host[:port]
	shown string // as the operator wrote it
	http  *http.Client
}

// New makes a client for http://HOST:PORT, https://HOST:PORT or unix:///PATH. Nothing is connected yet.
func New(base string, o Options) (*Client, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Agent == "" {
		o.Agent = "jurymast"
	}
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 0, // a probe on demand may take its time; the call's own timeout bounds it
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   4,
	} // no proxy from the environment: a node is on this machine or behind a forwarded port
	c := &Client{o: o, shown: base, http: &http.Client{Transport: transport}}
	if path, ok := strings.CutPrefix(base, "unix://"); ok {
		if path == "" {
			return nil, fmt.Errorf("API address %q names no socket; allowed: http://HOST:PORT or unix:///PATH", base)
		}
		c.base = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
		}
		return c, nil
	}
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" {
		return nil, fmt.Errorf("API address %q is none; allowed: http://HOST:PORT or unix:///PATH", base)
	}
	c.base = u.Scheme + "://" + u.Host
	return c, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// path joins words of an address, each escaped: names may hold blanks and more.
func path(words ...string) string {
	var b strings.Builder
	b.WriteString("/api/v1")
	for _, w := range words {
		b.WriteString("/" + url.PathEscape(w))
	}
	return b.String()
}

// call is one request and what its answer is decoded into; into may be nil.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	body         any // a value to be JSON, json.RawMessage as it is; nil: none
	into         any
	patience     time.Duration // longer than the client's timeout when the work itself takes time
}

// do carries out one call within the client's timeout.
func (c *Client) do(ctx context.Context, k call) error {
	bounded, cancel := context.WithTimeout(ctx, max(k.patience, c.o.Timeout))
	defer cancel()
	req, err := c.request(bounded, k)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return c.failure(res)
	}
	return c.read(ctx, res, k.into)
}

// read decodes an answer of ours. One without anything we know is somebody else's: no answer of a node is that empty.
func (c *Client) read(ctx context.Context, res *http.Response, into any) error {
	if into == nil && res.StatusCode == http.StatusNoContent {
		return nil
	}
	if mediaType(res) != "application/json" {
		return c.foreign(res)
	}
	if into == nil {
		return nil
	}
	err := json.NewDecoder(res.Body).Decode(into)
	var shape *json.UnmarshalTypeError
	switch {
	case errors.As(err, &shape):
		return c.foreign(res)
	case err != nil:
		return c.unreachable(ctx, fmt.Errorf("its answer cannot be read: %w", err))
	case reflect.ValueOf(into).Elem().IsZero():
		return c.foreign(res)
	}
	return nil
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	var body io.Reader
	if k.body != nil {
		text, err := json.Marshal(k.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	address := c.base + k.path
	if len(k.query) > 0 {
		address += "?" + k.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, k.method, address, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, k.header)
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	req.Header.Set("User-Agent", c.o.Agent)
	if k.method == http.MethodPost || k.method == http.MethodPut {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.o.Token != "" && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	if c.o.By != "" {
		req.Header.Set("X-Jurymast-By", c.o.By)
	}
	return req, nil
}

// unreachable words a failed exchange. The caller's own cancel is nobody's failure and stays what it is.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("it does not answer in time")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return &CutError{c.shown}
	}
	return &UnreachableError{c.shown, err}
}
