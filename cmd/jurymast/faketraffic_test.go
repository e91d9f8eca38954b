package main

import (
	"encoding/json"
	"net/http"
	"time"

	"jurymast/internal/api"
)

// trafficRoutes are those about questions a node has answered.
func trafficRoutes(n *fakeNode) {
	n.HandleFunc("GET /api/v1/dns/top", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("profile") == "nothing" {
			refuse(w, http.StatusNotFound, api.CodeNotFound, `profile "nothing": not found`)
			return
		}
		l := api.TopList{By: q.Get("by"), Profile: q.Get("profile"), Since: moment, Until: moment.Add(time.Minute), Queries: 1200, Sampling: 1, Lines: []api.TopLine{
			{Value: "192.0.2.0/24", Queries: 900, Share: 0.75}, {Value: "2001:db8:1:2200::/56", Queries: 300, Share: 0.25},
		}}
		if q.Get("profile") == "" {
			l.Unusual = &api.Unusual{NXDomain: 0.25, Limited: 0.0123}
		}
		if q.Get("span") == "hour" {
			l.Sampling, l.Lines[0].Error, l.Lines[1].Error = 16, 118, 68
		}
		if l.By == "place" || l.By == "type" {
			l.Lines = []api.TopLine{}
		}
		answer(w, l)
	})
	n.HandleFunc("GET /api/v1/dns/limits", func(w http.ResponseWriter, r *http.Request) {
		l := api.DNSLimits{
			Mode: "on", Rate: 200, Window: "15s", Slip: 2, IPv4Prefix: 24, IPv6Prefix: 56, Buckets: api.LimitBuckets{Places: 32768, Used: 120, Limited: 2},
			Suppressed: map[string]uint64{"drop": 900, "slip": 800, "badcookie": 7}, Connections: api.LimitConnections{Rate: 100, Refused: 3}, Networks: 1,
			Limited: []api.LimitLine{{Network: "198.51.100.0/24", Kind: "nxdomain", Name: "dr.example.", Since: moment, Last: moment.Add(time.Minute), Suppressed: 1700}},
		}
		if r.URL.Query().Get("limit") == "1" {
			l.Mode, l.Limited = "dry-run", []api.LimitLine{}
		}
		answer(w, l)
	})
	n.HandleFunc("GET /api/v1/dns/log", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, api.LogStatus{File: "/var/log/jurymast/queries.json", Watched: []api.WatchedQuery{}})
	})
	n.HandleFunc("POST /api/v1/dns/log", func(w http.ResponseWriter, r *http.Request) {
		var want api.LogRequest
		if json.NewDecoder(r.Body).Decode(&want) != nil || want.Profile == "nothing" {
			refuse(w, http.StatusNotFound, api.CodeNotFound, `profile "nothing": not found`)
			return
		}
		d, _ := time.ParseDuration(want.For)
		answer(w, api.LogStatus{File: "-", Watched: []api.WatchedQuery{{Profile: want.Profile, Until: moment.Add(d)}}})
	})
}
