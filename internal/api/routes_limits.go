package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Limits tells whom this node gives fewer DNS answers than they ask for.
type Limits interface {
	Limits(most int) DNSLimits
}

// DNSLimits are how limits on answers over UDP and on TCP connections stand. Counts are since the start.
type DNSLimits struct {
	Mode        string            `json:"mode" doc:"on, off or dry-run"`
	Rate        int               `json:"rate,omitempty" doc:"answers a second to one network, of one kind"`
	Window      string            `json:"window,omitempty" doc:"how long who asked too much is limited after it stopped, at most"`
	Slip        int               `json:"slip,omitempty" doc:"one suppressed answer in so many is sent empty with TC=1; absent: none"`
	IPv4Prefix  int               `json:"ipv4_prefix,omitempty" doc:"bits of one network"`
	IPv6Prefix  int               `json:"ipv6_prefix,omitempty"`
	Buckets     LimitBuckets      `json:"buckets"`
	Suppressed  map[string]uint64 `json:"suppressed" doc:"answers, by action: drop, slip, badcookie; would_... with dry-run"`
	Connections LimitConnections  `json:"connections"`
	Networks    int               `json:"networks" doc:"limited now; no more than 1000 are counted"`
	Limited     []LimitLine       `json:"limited" doc:"what is limited now, most suppressed first"`
}

// LimitBuckets are the tables of all UDP loops.
type LimitBuckets struct {
	Places    int    `json:"places"`
	Used      int    `json:"used" doc:"somebody was answered just now"`
	Limited   int    `json:"limited" doc:"of them, those that owe"`
	Forgotten uint64 `json:"forgotten" doc:"for want of room, though they mattered"`
}

// LimitConnections are the limits on new TCP connections.
type LimitConnections struct {
	Rate     int    `json:"rate" doc:"of one network, a second; 0: no limit"`
	Networks int    `json:"networks" doc:"that have just opened some"`
	Refused  uint64 `json:"refused"`
}

// LimitLine is one kind of answers to one network.
type LimitLine struct {
	Network    string    `json:"network"`
	Kind       string    `json:"kind" doc:"positive, nodata, nxdomain, referral, error, badcookie, connection"`
	Name       string    `json:"name,omitempty" doc:"positive, nodata: the name; nxdomain: the zone; referral: the delegation"`
	Since      time.Time `json:"since"`
	Last       time.Time `json:"last" doc:"when a suppressed answer was last told"`
	Suppressed uint64    `json:"suppressed" doc:"since then"`
}

func (s *Server) limitRoutes(h huma.API) {
	huma.Register(h, operation(http.MethodGet, "/dns/limits", "get-limits", "tools",
		"Whom this node gives fewer answers than they ask for", http.StatusNotFound),
		func(ctx context.Context, in *struct {
			Limit int `query:"limit" default:"20" minimum:"1" maximum:"1000"`
		},
		) (*output[DNSLimits], error) {
			if s.o.Limits == nil {
				return nil, problemOf(ctx, s.log, errNoDNS)
			}
			l := s.o.Limits.Limits(in.Limit)
			if l.Limited == nil {
				l.Limited = []LimitLine{}
			}
			return &output[DNSLimits]{l}, nil
		})
}
