package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"jurymast/internal/api"
)

// zoneRoutes answer for zones: one that is not signed, and one in the middle of a roll, so that every column has something.
func zoneRoutes(n *fakeNode) {
	n.HandleFunc("GET /api/v1/dns/zones", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, []api.ZoneStatus{
			fakeZone(),
			{Name: "plain.example", Kind: "secondary", Serial: 7, Nodes: []string{"n1"}, Profiles: []string{}, State: "current"},
			{Name: "signed.example", Kind: "secondary", Serial: 8, Nodes: []string{"n1"}, Profiles: []string{}, State: "failing", Foreign: true},
			{Name: "gone.example", Kind: "secondary", Nodes: []string{"n1"}, Profiles: []string{}, State: "missing"},
		})
	})
	n.HandleFunc("GET /api/v1/zones/{name}/status", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") != "dr.example" {
			refuse(w, http.StatusNotFound, api.CodeNotFound, "not found: there is no such zone")
			return
		}
		answer(w, fakeZone())
	})
	n.HandleFunc("GET /api/v1/zones/{name}/keys", func(w http.ResponseWriter, r *http.Request) {
		k := fakeKeys("")
		if r.PathValue("name") == "silent.example" {
			k.Parent.Heard, k.Parent.Silent = 0, &since
			k.Keys[0].Silent, k.Keys[1].Silent = true, true
		}
		answer(w, k)
	})
	n.HandleFunc("GET /api/v1/zones/{name}/ds", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") == "plain.example" {
			refuse(w, http.StatusConflict, api.CodeRefused, "zone plain.example is not signed; write dnssec: {enabled: true} into the zone")
			return
		}
		answer(w, fakeDS(r.URL.Query().Get("digest") == "4"))
	})
	n.HandleFunc("POST /api/v1/zones/{name}/keys/{verb}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("verb") == "export" {
			answer(w, api.KeyExport{Zone: "dr.example", Files: []api.KeyFile{{Name: "Kdr.example.+013+12345", Public: "dr.example. 3600 IN DNSKEY 257 3 13 AAAA\n", Private: "Private-key-format: v1.3\n"}}})
			return
		}
		acted(w, r, r.PathValue("verb"))
	})
	n.HandleFunc("POST /api/v1/dns/secondary/{zone}/refresh", func(w http.ResponseWriter, r *http.Request) {
		t := api.SecondaryZone{Zone: r.PathValue("zone"), State: "current", Serial: 7, Confirmed: &since, Next: &since, Primaries: []string{"192.0.2.1:53"}}
		switch t.Zone {
		case "failing.example", "missing.example":
			t.State, t.Trouble = strings.TrimSuffix(t.Zone, ".example"), "192.0.2.1:53: SOA: connection refused"
		case "older.example":
			t.Older, t.Trouble = true, "192.0.2.1:53: it has serial 6, which is older than 7 here"
		case "half.example": // one primary of two
			t.Trouble = "192.0.2.1:53: SOA: connection refused"
		case "slow.example":
			t.Next = nil
		}
		answer(w, t)
	})
	n.HandleFunc("POST /api/v1/zones/{name}/cds", func(w http.ResponseWriter, r *http.Request) { acted(w, r, "cds") })
}

// acted repeats what was asked, so that scripts see it.
func acted(w http.ResponseWriter, r *http.Request, verb string) {
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	if body["note"] == "refuse" {
		refuse(w, http.StatusConflict, api.CodeRefused, "a roll is under way (publish since 2026-01-02T03:04:05Z); wait until jurymast zone keys dr.example shows steady")
		return
	}
	text, err := json.Marshal(body)
	if err != nil {
		text = []byte(err.Error())
	}
	answer(w, fakeKeys(verb+" "+r.PathValue("name")+" "+string(text)))
}

func fakeZone() api.ZoneStatus {
	newest := since.Add(15 * 24 * time.Hour)
	return api.ZoneStatus{
		Name: "dr.example", Kind: "primary", Serial: 42, Names: 3, Nodes: []string{"n1", "n2"}, Profiles: []string{"shop"}, Signing: &api.ZoneSigning{
			Stage: "change", Keys: fakeKeys("").Keys, Sets: 10, Signed: 8, Waiting: 2, Failing: 1, Oldest: &since, Newest: &newest, Trouble: "no key\x1b[2J",
		},
	}
}

func fakeKeys(message string) api.ZoneKeys {
	until := since.Add(time.Hour)
	return api.ZoneKeys{
		Message: message, Zone: "dr.example", Wanted: true, Stage: "change", Text: "the new keys take over", Since: &since, Step: 3, Roll: "plain", Why: "ordered",
		Next: &api.ZoneKeysWait{For: "the DS of key 54321 at the parent", Until: &until}, CDS: "auto", Leaving: &since,
		Keys: []api.ZoneKey{
			{Tag: 12345, Algorithm: "ecdsa-p256", Number: 13, Role: "csk", State: "retired", Since: since, Made: since, Parent: true},
			{Tag: 54321, Algorithm: "ecdsa-p256", Number: 13, Role: "csk", State: "active", Since: since, Made: since, New: true},
		},
		Nodes:   []api.ZoneKeysNode{{Name: "n1", Acknowledged: true}, {Name: "n2"}},
		Parent:  api.ZoneParent{Since: &since, Servers: 2, Heard: 1, DS: []string{"12345 13 2 ABCD"}, TTL: 3600, Trouble: "ns2.example.: it has no address"},
		Trouble: "key lost\x1b[2J",
	}
}

func fakeDS(long bool) api.ZoneDS {
	k := api.ZoneDSKey{Tag: 54321, Algorithm: "ecdsa-p256", Number: 13, Flags: 257, DigestNo: 2, Digest: "ABCD", Public: "AAAA", DS: "54321 13 2 ABCD", DNSKEY: "257 3 13 AAAA"}
	if long {
		k.DigestNo, k.DS = 4, "54321 13 4 ABCD"
	}
	return api.ZoneDS{Zone: "dr.example", Ready: !long, ReadyAt: &since, TTL: 3600, Keys: []api.ZoneDSKey{k}}
}
