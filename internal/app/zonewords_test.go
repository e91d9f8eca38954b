//go:build linux

package app_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"jurymast/internal/api"
)

// TestWordAgainstParent: nobody's word takes the keys away while a server of the parent shows a DS.
func TestWordAgainstParent(t *testing.T) {
	t.Parallel()
	p := startParent(t)
	s := signedSite(t, p.at, "")
	s.shifted(0)
	s.awaitKeys("keys are made", counted)
	s.shifted(2 * time.Hour)
	s.awaitKeys("it is steady", inStage("steady"))
	var ds api.ZoneDS
	if !s.get("/api/v1/zones/dr.example/ds", &ds) || !ds.Ready || len(ds.Keys) != 1 {
		t.Fatalf("%+v", ds)
	}
	given := ds.Keys[0].DS // a copy: ds is decoded into again while the parent answers
	p.ds.Store(&given)
	text, err := os.ReadFile(s.file)
	must(t, err)
	s.write(strings.Replace(string(text), "dnssec: {enabled: true", "dnssec: {enabled: false", 1))
	s.hangup()
	s.awaitKeys("it leaves signing", func(k api.ZoneKeys) bool { return k.Leaving != nil && len(k.Parent.DS) == 1 })
	if s.get("/api/v1/zones/dr.example/ds", &ds); !ds.Off || ds.Ready {
		t.Errorf("the DS of a zone whose signing is switched off: %+v", ds)
	}
	code, body := s.call(http.MethodPost, "/api/v1/zones/dr.example/keys/ds-seen", `{"ttl":1}`)
	if want := fmt.Sprintf("has a DS (of key %d)", ds.Keys[0].Tag); code != http.StatusConflict || !strings.Contains(body, want) {
		t.Errorf("the word of an operator while the parent has the DS: %d %s", code, body)
	}
	if k := s.keys(); k.Parent.Word || len(k.Keys) != 1 {
		t.Errorf("%+v", k)
	}
	p.ds.Store(nil)
	s.awaitKeys("the parent is believed", func(k api.ZoneKeys) bool { return k.Next != nil && k.Next.Until != nil })
}
