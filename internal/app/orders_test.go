//go:build linux

package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"jurymast/internal/api"
)

// TestTwoNodesGuardTogether: both are asked at the same instant to disable one endpoint each; one of them has to refuse.
func TestTwoNodesGuardTogether(t *testing.T) {
	t.Parallel()
	a := newSite(t)
	a.head = storeText("http://" + startEtcd(t))
	a.up()
	b := a.beside("n2")
	b.write(b.text())
	b.startNode()
	b.awaitReady(20 * time.Second)
	for round := range 5 {
		var asked sync.WaitGroup
		codes, texts := [2]int{}, [2]string{}
		nodes := []*site{a, b}
		for i, s := range nodes {
			asked.Go(func() {
				body := fmt.Sprintf(`{"act":"disable","select":"endpoint=%s","note":"round %d"}`, []string{"eu20", "us21"}[i], round)
				codes[i], texts[i] = s.call(http.MethodPost, "/api/v1/orders", body)
			})
		}
		asked.Wait()
		done := 0
		for i := range codes {
			switch codes[i] {
			case http.StatusOK:
				done++
				var r api.OrderResult
				if err := json.Unmarshal([]byte(texts[i]), &r); err != nil || len(r.Placed) != 1 {
					t.Fatalf("%v: %s", err, texts[i])
				}
				if code, text := nodes[i].call(http.MethodDelete, "/api/v1/orders/"+r.Placed[0].ID, ""); code != http.StatusOK {
					t.Fatalf("%d %s", code, text)
				}
			case http.StatusConflict:
				if !strings.Contains(texts[i], "no usable endpoint") {
					t.Fatal(texts[i])
				}
			default:
				t.Fatalf("%d %s", codes[i], texts[i])
			}
		}
		if done != 1 {
			t.Fatalf("round %d: %d of two orders were taken: %v", round, done, texts)
		}
		for _, s := range nodes {
			eventually(t, 5*time.Second, "both endpoints are back", func() bool {
				p := s.status()
				return p.Endpoints[0].MonitorStatus == "Online" && p.Endpoints[1].MonitorStatus == "Online"
			})
		}
	}
}
