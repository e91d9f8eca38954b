package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"jurymast/internal/api"
)

// operatorRoutes are the parts of the fake node for orders over all profiles, gates and signals. It refuses what selects
// endpoint=last without broken glass, matches nothing with profile=nothing, and takes the token "open sesame".
func operatorRoutes(n *fakeNode) {
	n.HandleFunc("POST /api/v1/orders", takeTransaction)
	n.HandleFunc("GET /api/v1/orders", func(w http.ResponseWriter, _ *http.Request) { answer(w, api.OrderList{Orders: fakeOrders()}) })
	n.HandleFunc("GET /api/v1/profiles/{name}/orders", known(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, api.OrderList{Orders: fakeOrders()[:1]})
	}))
	n.HandleFunc("GET /api/v1/safety", func(w http.ResponseWriter, _ *http.Request) {
		two := 2
		open := fakeOrders()[5].OverrideStatus
		answer(w, api.SafetyList{Safety: []api.SafetyListing{
			{Document: api.Document{Kind: "safety", Name: "two sites"}, Status: &api.SafetyStatus{Of: "label:tier=gold", AtLeast: 2, Usable: &two, Holds: true}},
			{Document: api.Document{Kind: "safety", Name: "freeze"}, Status: &api.SafetyStatus{Gate: "change"}},
			{Document: api.Document{Kind: "safety", Name: "window"}, Status: &api.SafetyStatus{Gate: "night", Of: "profile=shop", Open: &open, Holds: true}},
			{Document: api.Document{Kind: "safety", Name: "fresh"}},
		}})
	})
	n.HandleFunc("POST /api/v1/profiles/{name}/endpoints/{endpoint}/signal", known(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer open sesame" {
			refuse(w, http.StatusUnauthorized, api.CodeUnauthorized, "a signal needs the endpoint's own token")
			return
		}
		var s api.SignalRequest
		_ = json.NewDecoder(r.Body).Decode(&s)
		if r.PathValue("endpoint") == "us21" {
			refuse(w, http.StatusConflict, api.CodeRefused, "endpoint \"us21\" takes no signals")
			return
		}
		answer(w, api.SignalResult{Profile: r.PathValue("name"), Endpoint: r.PathValue("endpoint"), State: s.State + " " + s.Reason + s.TTL, Until: moment})
	}))
}

func takeTransaction(w http.ResponseWriter, r *http.Request) {
	var t api.TransactionRequest
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		refuse(w, http.StatusBadRequest, api.CodeRequest, err.Error())
		return
	}
	switch {
	case t.Select == "profile=nothing":
		refuse(w, http.StatusUnprocessableEntity, api.CodeInvalid, `"profile=nothing" matches nothing; profiles: integration`)
		return
	case t.Select == "endpoint=last" && !t.BreakGlass:
		refuse(w, http.StatusConflict, api.CodeGuard, "no usable endpoint of profile \"integration\" would be left")
		return
	case t.Gate == "nothing":
		refuse(w, http.StatusUnprocessableEntity, api.CodeInvalid, `"nothing" is no gate of a safety rule; gates: change`)
		return
	}
	said, _ := json.Marshal(t)
	out := api.OrderResult{Message: "ordered " + string(said), Placed: fakeOrders()[:2], Ended: fakeOrders()[2:3]}
	if len(t.Steps) > 1 && t.Note == "" {
		out.Steps = []string{"disable site/a: in force until 2026-01-02T03:04:05Z", "enable site/b: done"}
	}
	if t.BreakGlass {
		out.Broken = []string{"safety rule two sites"}
	}
	if t.Select == "label:tier=gold" {
		out.Skipped = []string{"profile \"x\" is not routed by priority"}
		for i := range 60 {
			o := fakeOrders()[0]
			o.Endpoint = fmt.Sprintf("e%d", i)
			out.Placed = append(out.Placed, o)
		}
	}
	if t.Gate != "" {
		out.Placed, out.Ended = fakeOrders()[5:], nil
	}
	answer(w, out)
}

func fakeOrders() []api.OrderStatus {
	one := func(id, act, profile, endpoint string) api.OrderStatus {
		return api.OrderStatus{OverrideStatus: api.OverrideStatus{ID: id, Act: act, By: "anna", Note: "site works", At: since}, Profile: profile, Endpoint: endpoint}
	}
	until := time.Now().Add(time.Hour + 30*time.Second)
	list := []api.OrderStatus{
		one("1", "drain", "integration", "eu20"), one("1", "drain", "shop", "a"), one("1", "drain", "shop", "b"), one("1", "drain", "shop", "c"),
		one("2", "disable", "shop", "d"), one("3", "open-gate", "", ""),
	}
	list[4].Until, list[4].KeepProbing = &until, true
	list[5].Gate = "change"
	return list
}
