package accesslog_test

import (
	"encoding/json"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"jurymast/internal/proxy/accesslog"
)

// common is a line as most are.
func common() *accesslog.Record {
	r := whole()
	r.Trail, r.Key, r.KeyHash, r.Rule, r.Upgrade, r.SessionNew = nil, "", "", "", "", false
	r.Time = time.Now()
	return r
}

func BenchmarkAdd(b *testing.B) {
	l := begin(b, accesslog.Options{Out: io.Discard, Node: "node-1"})
	var conns atomic.Uint32
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		conn, r := conns.Add(1), common()
		for i := 0; pb.Next(); i++ {
			if l.Wants(r.Reason, r.Status) {
				l.Add(conn, r)
			}
			if i%64 == 0 { // requests read and write, and others run meanwhile
				runtime.Gosched()
			}
		}
	})
	b.ReportMetric(float64(l.Dropped())/float64(b.N), "dropped/op")
}

// BenchmarkMarshal is the same line by encoding/json, for comparison.
func BenchmarkMarshal(b *testing.B) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := common()
		v := struct {
			Time                                                                                        time.Time
			Node, Listener, Client, Source, TLS, SNI, Proto, Method, Host, Path, Query, Reason, Profile string
			Endpoint, Origin, Replay, Trace, UserAgent                                                  string
			Conn, Req, Epoch                                                                            uint64
			In, Out                                                                                     int64
			Status, Attempts, OriginStatus                                                              int
			Reused                                                                                      bool
			Held, Head, Connect, Handshake, First, Total                                                float64
		}{
			r.Time, "node-1", r.Listener, r.Client.String(), r.ClientSource, r.TLS, r.SNI, r.Proto, string(r.Method), string(r.Host), "/a%2fb", hashOf("token=abc"), r.Reason, r.Profile,
			r.Endpoint, r.OriginAddr, r.Replay, "4bf92f3577b34da6a3ce929d0e0e4736", string(r.UserAgent),
			r.Conn, r.Request, r.Epoch, r.BytesIn, r.BytesOut, r.Status, r.Attempts, r.OriginStatus, r.Reused, 120, 0.01, 20.05, 11, 2000, 2000.01,
		}
		for pb.Next() {
			if _, err := json.Marshal(&v); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkNotWanted(b *testing.B) {
	l := begin(b, accesslog.Options{Out: io.Discard, Sample: 1000, Errors: true})
	for b.Loop() {
		if l.Wants("OK", 200) {
			b.SetBytes(0)
		}
	}
}
