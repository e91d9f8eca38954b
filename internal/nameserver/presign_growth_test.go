package nameserver_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/nameserver/sign"
	"jurymast/internal/profile"
)

// Endpoints that come and go make ever new windows; what no question can get any more does not gather in the book between
// two looks at everything.
func TestWindowsDoNotGather(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const endpoints = 40
		word, targets := make([]byte, endpoints), make([]profile.Target, endpoints)
		for i := range word {
			word[i], targets[i] = 'u', addrs(fmt.Sprintf("192.0.2.%d", i+1))
		}
		p := service("many", names("many.dr.example"), targets...)
		p.Routing, p.MaxReturn = profile.Multivalue, 8
		ps := []*profile.Profile{p}
		f := build(t, []*profile.Zone{signedZone("", profile.DenialCompact)}, ps, nil)
		f.signingNow(t)
		f.srv.UseKeys(newCSK(t, "dr.example", sign.Ed25519))
		dice, most := rand.New(rand.NewPCG(1, 2)), 0
		for range 2000 {
			word[dice.IntN(endpoints)] = "ud"[dice.IntN(2)]
			f.hub.Publish(nil, view(p, string(word), nil))
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			most = max(most, f.srv.SetsHeld("dr.example"))
		}
		if most > 4000 {
			t.Errorf("%d sets are kept, of which questions can get fewer than 50", most)
		}
	})
}
