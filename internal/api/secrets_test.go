package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// vault is a node's secrets as the API sees them; it remembers who asked for what.
type vault struct {
	err   error
	asked []string
}

func (v *vault) act(what, by, note string) error {
	v.asked = append(v.asked, fmt.Sprintf("%s by %s: %s", what, by, note))
	return v.err
}

func (v *vault) Seal() SealStatus {
	return SealStatus{Key: "0a0b0c0d", Keys: []string{"0a0b0c0d"}, Records: []SealedRecord{}, Nodes: []SealNode{}}
}

func (v *vault) Cookies() CookieStatus {
	return CookieStatus{Source: "store", Stage: "steady", Current: "aaaa0001", Nodes: []CookieNode{}}
}

func (v *vault) RotateSeal(_ context.Context, by, note string) error {
	return v.act("rotate", by, note)
}

func (v *vault) RollCookies(_ context.Context, by, note string) error { return v.act("roll", by, note) }

func (v *vault) ForgetSealed(_ context.Context, name, by, note string) error {
	return v.act("forget "+name, by, note)
}

func TestSecrets(t *testing.T) {
	r := newRig(t)
	v := r.secrets
	for _, row := range []struct {
		method, path, body string
		err                error
		status             int
		says, asked        string
	}{
		{"GET", "/api/v1/seal", "", nil, 200, `"key":"0a0b0c0d"`, ""},
		{"GET", "/api/v1/dns/cookies", "", nil, 200, `"current":"aaaa0001"`, ""},
		{"POST", "/api/v1/dns/cookies/roll", `{"note":"a\u001bb"}`, nil, 200, `no cookie is refused on the way`, "roll by local (anna): ab"},
		{"POST", "/api/v1/dns/cookies/roll", `{}`, &RefusedError{CodeRefused, "a change is under way"}, 409, `"code":"refused"`, "roll by local (anna): "},
		{"POST", "/api/v1/dns/cookies/roll", `{"note":"` + strings.Repeat("x", 1001) + `"}`, nil, 422, "note", ""},
		{"POST", "/api/v1/dns/cookies/roll", `{"secret":"00"}`, nil, 422, "unexpected property", ""},
		{"POST", "/api/v1/seal/rotate", `{}`, nil, 200, `everything is sealed with key 0a0b0c0d`, "rotate by local (anna): "},
		{"POST", "/api/v1/seal/rotate", `{}`, ErrUnavailable, 503, `"code":"unavailable"`, "rotate by local (anna): "},
		{"POST", "/api/v1/seal/rotate", `{}`, errors.New("inner words"), 500, `"code":"internal"`, "rotate by local (anna): "},
		{"DELETE", "/api/v1/seal/records/dns-cookies?note=lost", "", nil, 200, `the record dns-cookies is given up`, "forget dns-cookies by local (anna): lost"},
		{"DELETE", "/api/v1/seal/records/x", "", fmt.Errorf("%w: no such record", ErrNotFound), 404, `"code":"not-found"`, "forget x by local (anna): "},
		{"PUT", "/api/v1/seal", `{}`, nil, 405, "", ""},
	} {
		v.err, v.asked = row.err, nil
		got := r.do(r.web, row.method, row.path, row.body, "X-Jurymast-By: anna")
		if got.status != row.status || !strings.Contains(got.body, row.says) || strings.Join(v.asked, ";") != row.asked {
			t.Errorf("%s %s %.40s: %d %s, asked %q; want %d, %q, %q", row.method, row.path, row.body, got.status, got.body, v.asked, row.status, row.says, row.asked)
		}
		if strings.Contains(got.body, "inner words") {
			t.Errorf("%s %s shows what is inside: %s", row.method, row.path, got.body)
		}
	}
	if got := r.do(r.web, http.MethodPost, "/api/v1/seal/rotate", `{}`, "Origin: http://elsewhere.example"); got.status != http.StatusForbidden {
		t.Errorf("from a foreign page: %d", got.status)
	}
	for _, path := range []string{"/seal/rotate", "/dns/cookies/roll", "/seal/records/{name}"} {
		if spec := r.do(r.web, http.MethodGet, "/api/openapi.json", "").body; !strings.Contains(spec, base+path) {
			t.Errorf("the description of the API lacks %s", path)
		}
	}
}
