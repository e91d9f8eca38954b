package profile

import "time"

// StreamLimits bound DNS over connections (TCP, TLS, HTTPS, QUIC) on each address that is listened on.
type StreamLimits struct {
	Connections   int           `yaml:"connections"`             // at once
	PerPrefix     int           `yaml:"connections_per_network"` // of them from one IPv4 /24 or IPv6 /56
	Accepts       int           `yaml:"accept_rate"`             // new ones from one network a second; 0: no limit
	InFlight      int           `yaml:"in_flight"`               // questions answered before the answers are written
	FirstQuestion time.Duration `yaml:"first_question"`          // from accepting to the end of the first question
	Idle          time.Duration `yaml:"idle"`                    // between questions, while there is room
	IdleMin       time.Duration `yaml:"idle_min"`                // the same when all connections are taken

	Handshakes          int `yaml:"handshakes"`             // of TLS and QUIC a second
	PerPrefixHandshakes int `yaml:"handshakes_per_network"` // of them from one network
}

// QueryLog: File "" is off, "-" standard output.
type QueryLog struct {
	File        string `yaml:"file"`
	Sample      int    `yaml:"sample"` // one in so many questions; 0: none
	Errors      bool   `yaml:"errors"` // everything that was answered with an error
	FullAddress bool   `yaml:"full_address"`
}

func defaultStreamLimits() StreamLimits {
	return StreamLimits{
		Connections: 1000, PerPrefix: 20, Accepts: 100, InFlight: 100, FirstQuestion: 2 * time.Second, Idle: 10 * time.Second, IdleMin: time.Second,
		Handshakes: 1000, PerPrefixHandshakes: 100,
	}
}

func defaultQueryLog() QueryLog { return QueryLog{Sample: 1000, Errors: true} }

func validateStreamLimits(r *report, a *at, l *StreamLimits) {
	r.between(a.child("connections"), l.Connections, 1, 100_000)
	if per := a.child("connections_per_network"); l.PerPrefix > l.Connections {
		r.errorf(per, "%d is more than connections (%d); write a smaller number", l.PerPrefix, l.Connections)
	} else {
		r.between(per, l.PerPrefix, 1, 100_000)
	}
	r.between(a.child("handshakes"), l.Handshakes, 1, 100_000)
	if per := a.child("handshakes_per_network"); l.PerPrefixHandshakes > l.Handshakes {
		r.errorf(per, "%d is more than handshakes (%d); write a smaller number", l.PerPrefixHandshakes, l.Handshakes)
	} else {
		r.between(per, l.PerPrefixHandshakes, 1, 100_000)
	}
	r.between(a.child("accept_rate"), l.Accepts, 0, 1_000_000)
	r.between(a.child("in_flight"), l.InFlight, 1, 10_000)
	r.lasts(a.child("first_question"), l.FirstQuestion, 100*time.Millisecond, time.Minute)
	r.lasts(a.child("idle"), l.Idle, 100*time.Millisecond, time.Hour)
	r.lasts(a.child("idle_min"), l.IdleMin, 100*time.Millisecond, time.Hour)
	if l.IdleMin > l.Idle {
		r.errorf(a.child("idle_min"), "%s is longer than idle (%s); it is what is left of that when all connections are taken", short(l.IdleMin), short(l.Idle))
	}
}

func validateQueryLog(r *report, a *at, l *QueryLog) {
	r.between(a.child("sample"), l.Sample, 0, 1_000_000)
}
