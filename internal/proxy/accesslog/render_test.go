package accesslog_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"jurymast/internal/proxy/accesslog"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 1234567, time.FixedZone("", 3600))

func whole() *accesslog.Record {
	return &accesslog.Record{
		Time: at, Listener: "0.0.0.0:443", Conn: 7, Request: 3,
		Client: netip.MustParseAddr("2001:db8::1%eth0"), ClientSource: "x-forwarded-for", TLS: "1.3", SNI: "shop.example",
		Proto: "HTTP/1.1", Method: []byte("POST"), Host: []byte("shop.example"), Target: []byte("/a%2fb?token=abc"),
		Status: 200, Reason: "OF", Rule: "r", Profile: "shop", Group: "all", Endpoint: "us", Epoch: 8, OriginAddr: "192.0.2.12:443",
		Reused: true, Attempts: 2,
		Trail: []accesslog.Step{
			{Endpoint: "eu", Epoch: 7, Phase: "connect", Error: `dial "x"`, Took: 1500 * time.Microsecond},
			{Endpoint: "eu", Epoch: 7, Phase: "send", Error: "reset", Took: time.Millisecond},
		},
		Replay: "yes", Held: 120 * time.Millisecond, Key: "cookie", KeyHash: "0011", SessionNew: true,
		BytesIn: 10, BytesOut: 20, Head: 10 * time.Microsecond, Connect: 20050 * time.Microsecond, Handshake: 11 * time.Millisecond,
		FirstByte: 2 * time.Second, Total: 2*time.Second + 10*time.Microsecond, OriginStatus: 200, Upgrade: "websocket", TunnelIn: 5,
		TraceParent: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), UserAgent: []byte("curl/8"),
	}
}

func TestLines(t *testing.T) {
	for name, c := range map[string]struct {
		o    accesslog.Options
		r    *accesslog.Record
		want string
	}{
		"everything": {accesslog.Options{Node: "a"}, whole(), `{"time":"2026-03-01T11:00:00.001234Z","node":"a","listener":"0.0.0.0:443","conn":7,"req":3,` +
			`"client":"2001:db8::1","client_source":"x-forwarded-for","tls":"1.3","sni":"shop.example","proto":"HTTP/1.1","method":"POST","host":"shop.example",` +
			`"path":"/a%2fb","query_hash":"` + hashOf("token=abc") + `","status":200,"reason":"OF","rule":"r","profile":"shop","group":"all","endpoint":"us","epoch":8,` +
			`"origin_addr":"192.0.2.12:443","reused":true,"attempts":2,"trail":[{"endpoint":"eu","epoch":7,"phase":"connect","error":"dial \"x\"","ms":1.5},` +
			`{"endpoint":"eu","epoch":7,"phase":"send","error":"reset","ms":1}],"replay":"yes","held_ms":120,"key":"cookie","key_hash":"0011","session_new":true,` +
			`"bytes_in":10,"bytes_out":20,"t_head":0.01,"t_connect":20.05,"t_tls":11,"t_first_byte":2000,"t_total":2000.01,"origin_status":200,` +
			`"upgrade":"websocket","tunnel_in":5,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","user_agent":"curl/8"}` + "\n"},
		"nothing": {accesslog.Options{}, &accesslog.Record{Time: at}, `{"time":"2026-03-01T11:00:00.001234Z","client":"","client_source":"","proto":"","method":"","host":"",` +
			`"path":"","status":0,"reason":"","reused":false,"attempts":0,"held_ms":0,"bytes_in":0,"bytes_out":0,"t_head":0,"t_connect":0,"t_first_byte":0,"t_total":0}` + "\n"},
		"a plain query": {accesslog.Options{PlainQuery: true}, &accesslog.Record{Time: at, Target: []byte("/?a=\"b\"?")}, `{"time":"2026-03-01T11:00:00.001234Z","client":"","client_source":"","proto":"","method":"","host":"",` +
			`"path":"/","query":"a=\"b\"?","status":0,"reason":"","reused":false,"attempts":0,"held_ms":0,"bytes_in":0,"bytes_out":0,"t_head":0,"t_connect":0,"t_first_byte":0,"t_total":0}` + "\n"},
	} {
		if got := string(accesslog.LineOf(c.o, c.r)); got != c.want {
			t.Errorf("%s: got\n%swant\n%s", name, got, c.want)
		}
	}
}

func hashOf(query string) string {
	sum := sha256.Sum256([]byte(query))
	return hex.EncodeToString(sum[:8])
}

// Every field of the record must show in the line of a full one: a new field that nobody renders fails here.
func TestEveryFieldIsWritten(t *testing.T) {
	full := accesslog.LineOf(accesslog.Options{}, whole())
	v := reflect.ValueOf(whole()).Elem()
	for i := range v.NumField() {
		r := whole()
		f := reflect.ValueOf(r).Elem().Field(i)
		if f.IsZero() {
			t.Errorf("%s is not set in the test's full record", v.Type().Field(i).Name)
		}
		f.SetZero()
		if bytes.Equal(accesslog.LineOf(accesslog.Options{}, r), full) {
			t.Errorf("%s makes no difference to the line", v.Type().Field(i).Name)
		}
	}
}

func TestTargets(t *testing.T) {
	for target, want := range map[string]string{
		"/a/b;c=@d":                     "/a/b;c=@d",
		"//u:p@h/":                      "//u:p@h/", // a path
		"http://user:secret@h.example/": "http://h.example/",
		"http://user:se@cret@h/p@q":     "http://h/p@q",
		"http://h/p@q":                  "http://h/p@q",
		"user:secret@h:443":             "h:443",
		"h:443":                         "h:443",
		"*":                             "*",
		"":                              "",
		"http://u:p@h":                  "http://h",
		"http://h?u:p@x":                "http://h", // a query
	} {
		var line struct{ Path string }
		if err := json.Unmarshal(accesslog.LineOf(accesslog.Options{}, &accesslog.Record{Time: at, Target: []byte(target)}), &line); err != nil || line.Path != want {
			t.Errorf("%s: %q, %v; want %q", target, line.Path, err, want)
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	r := accesslog.Record{Time: at, Target: []byte("/" + strings.Repeat("a", 9000)), UserAgent: []byte(strings.Repeat("é", 600)), Host: bytes.Repeat([]byte("h"), 1024)}
	var line struct {
		Path, Host string
		UserAgent  string `json:"user_agent"`
	}
	if err := json.Unmarshal(accesslog.LineOf(accesslog.Options{}, &r), &line); err != nil {
		t.Fatal(err)
	}
	if len(line.Path) != 8192+len("…") || !strings.HasSuffix(line.Path, "a…") || line.UserAgent != strings.Repeat("é", 512)+"…" || len(line.Host) != 1024 {
		t.Errorf("%d %d %d", len(line.Path), len(line.UserAgent), len(line.Host))
	}
}

// FuzzText compares with encoding/json: the same value comes back, in one line of ASCII without control characters.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "\xff\xfe", "é漢😀", "\u0085\u2028\u2029\u202e\ufffd\ufeff", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xc3", "<script>&"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1024 {
			text = text[:1024]
		}
		r := accesslog.Record{Time: at, UserAgent: text, SNI: string(text), Target: text, Trail: []accesslog.Step{{Error: string(text)}}}
		b := accesslog.LineOf(accesslog.Options{PlainQuery: true}, &r)
		for _, c := range b[:len(b)-1] {
			if c < ' ' || c > '~' {
				t.Fatalf("%q has %#x in it", b, c)
			}
		}
		var line struct {
			SNI, Path, Query string
			Trail            []struct{ Error string }
			UserAgent        string `json:"user_agent"`
		}
		if err := json.Unmarshal(b, &line); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		want := asJSON(t, string(text))
		if line.UserAgent != want || line.SNI != want || line.Trail[0].Error != want {
			t.Fatalf("%q, %q, %q; encoding/json says %q", line.UserAgent, line.SNI, line.Trail[0].Error, want)
		}
		if path, query, _ := strings.Cut(string(text), "?"); line.Query != asJSON(t, query) || !strings.HasSuffix(asJSON(t, path), line.Path) && !strings.Contains(path, "@") {
			t.Fatalf("%q: %q, %q", text, line.Path, line.Query)
		}
	})
}

// asJSON is what is left of a text after a way through encoding/json.
func asJSON(t *testing.T, s string) (out string) {
	b, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTraceID(t *testing.T) {
	const id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for value, want := range map[string]string{
		"00-" + id + "-" + parent + "-01":                         id,
		" 00-" + id + "-" + parent + "-00\t":                      id,
		"00-" + id + "-" + parent + "-ff":                         id,
		"01-" + id + "-" + parent + "-01":                         id,
		"cc-" + id + "-" + parent + "-01-what-ever":               id,
		"cc-" + id + "-" + parent + "-01.what":                    "",
		"00-" + id + "-" + parent + "-01-":                        "",
		"ff-" + id + "-" + parent + "-01":                         "",
		"0-" + id + "-" + parent + "-01":                          "",
		"00-" + strings.ToUpper(id) + parent + "-01":              "",
		"00-4BF92f3577b34da6a3ce929d0e0e4736-" + parent + "-01":   "",
		"00-" + strings.Repeat("0", 32) + "-" + parent + "-01":    "",
		"00-" + id + "-" + strings.Repeat("0", 16) + "-01":        "",
		"00-" + id + "-" + parent + "-0":                          "",
		"00-" + id + "-" + parent + "-0g":                         "",
		"00-" + id + "-" + parent:                                 "",
		"00_" + id + "-" + parent + "-01":                         "",
		"00-" + id + "_" + parent + "-01":                         "",
		"00-" + id + "-" + parent + "_01":                         "",
		"00-" + id[1:] + "g-" + parent + "-01":                    "",
		"00-" + id + "-" + parent + "-01,00-" + id + parent + "1": "",
		"": "",
	} {
		if got := string(accesslog.TraceID([]byte(value))); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}
