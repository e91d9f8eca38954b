package traffic_test

import (
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/traffic"
)

func TestOdd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := traffic.New(nil)
		l := tr.Loop()
		run(t, tr)
		for i := range 60 {
			q := question("192.0.2.7", "www", "example")
			switch i % 6 {
			case 0:
				q.Type = 65280
			case 1:
				q.Rcode = 3
			case 2:
				q.Rcode = 5
			case 3:
				q.Rcode, q.Name, q.Type = 1, nil, 0
			case 4:
				q.Limited = tap.Dropped
			}
			l.Seen(q)
			time.Sleep(100 * time.Millisecond)
		}
		for _, span := range []time.Duration{traffic.Lately, traffic.Longer} {
			if o := tr.Odd(span); o.Queries != 60 || o.UnknownType != 10 || o.NXDomain != 10 || o.Refused != 10 || o.Malformed != 10 || o.Limited != 10 {
				t.Errorf("%+v", o)
			}
		}
		time.Sleep(2 * time.Minute)
		if o := tr.Odd(traffic.Lately); o.Queries != 0 || o.NXDomain != 0 {
			t.Errorf("%+v", o)
		}
	})
}
