package main

import (
	"encoding/json"
	"net/http"
	"time"

	"jurymast/internal/api"
)

// secretRoutes answer for seal and cookies: half way through a change, so that every column has something to show.
func secretRoutes(n *fakeNode) {
	n.HandleFunc("GET /api/v1/seal", func(w http.ResponseWriter, _ *http.Request) { answer(w, fakeSeal("")) })
	n.HandleFunc("POST /api/v1/seal/rotate", func(w http.ResponseWriter, r *http.Request) {
		if note(r) == "refuse" {
			refuse(w, http.StatusConflict, api.CodeRefused, "key 0a0b0c0d is not in the file of node.store.seal on n2; add it there as one more line, nothing was changed")
			return
		}
		answer(w, fakeSeal("everything is sealed with key 0a0b0c0d"))
	})
	n.HandleFunc("DELETE /api/v1/seal/records/{name}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") == "nothing" {
			refuse(w, http.StatusNotFound, api.CodeNotFound, "not found: there is no such sealed record; jurymast seal lists them")
			return
		}
		answer(w, fakeSeal("the record "+r.PathValue("name")+" is given up"))
	})
	n.HandleFunc("GET /api/v1/dns/cookies", func(w http.ResponseWriter, _ *http.Request) { answer(w, fakeCookies("")) })
	n.HandleFunc("POST /api/v1/dns/cookies/roll", func(w http.ResponseWriter, r *http.Request) {
		if note(r) == "refuse" {
			refuse(w, http.StatusConflict, api.CodeRefused, "a change is under way (publishing since 2026-01-02T03:04:05Z); wait until jurymast zone cookies shows steady")
			return
		}
		answer(w, fakeCookies("the change is ordered; no cookie is refused on the way"))
	})
}

func note(r *http.Request) string {
	var body struct {
		Note string `json:"note"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	return body.Note
}

func fakeSeal(message string) api.SealStatus {
	return api.SealStatus{
		Message: message, File: "/etc/jurymast/seal.key", Keys: []string{"01020304", "0a0b0c0d"}, Key: "0a0b0c0d", Previous: "01020304", Since: &since, By: "anna",
		Records: []api.SealedRecord{{Name: "dns-cookies", Key: "0a0b0c0d"}, {Name: "other", Key: "01020304"}},
		Nodes:   []api.SealNode{{Name: "n1", Keys: []string{"01020304", "0a0b0c0d"}}, {Name: "n2", Keys: []string{}}},
		Trouble: "record sealed/other: sealed with another key\x1b[2J",
	}
}

func fakeCookies(message string) api.CookieStatus {
	due := since.Add(65 * time.Minute)
	return api.CookieStatus{
		Message: message, Source: "store", Stage: "publishing", Step: 6, Since: &since, Due: &due, Issued: &since, Current: "aaaa0001", Next: "aaaa0002", Previous: "aaaa0003",
		Ordered: true, Nodes: []api.CookieNode{
			{Name: "n1", Source: "store", Acknowledged: true}, {Name: "n2", Source: "store"}, {Name: "n3", Source: "files"}, {Name: "n4"},
		},
	}
}
