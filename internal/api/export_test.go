package api

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"jurymast/internal/health"
)

// Integration is the source of the profile of the rig.
const Integration = integration

// ClientRig is a running server for the tests of the client.
type ClientRig struct {
	URL, Socket string
	rig         *rig
}

// StartForClient starts a server with one profile.
func StartForClient(t *testing.T) *ClientRig {
	r := newRig(t)
	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, health.Online, health.Online))
	return &ClientRig{URL: r.url, Socket: r.socket, rig: r}
}

// Tell appends to the journal.
func (c *ClientRig) Tell(e health.Entry) { c.rig.journal.add(e) }

// Restart ends the server with all its connections and starts another one on the same addresses.
func (c *ClientRig) Restart(t *testing.T) {
	t.Helper()
	o := c.rig.server.o
	o.Listen = strings.TrimPrefix(c.URL, "http://")
	if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.rig.server.Close(ctx); err != nil {
		t.Fatal(err)
	}
	c.rig.server = New(o)
	if err := c.rig.server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.rig.server.Serve()
}
