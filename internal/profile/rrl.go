package profile

import "time"

// RRL limits the answers over UDP to one network.
type RRL struct {
	Mode    RRLMode       `yaml:"mode"`
	Rate    int           `yaml:"rate"`        // answers a second of one kind
	Window  time.Duration `yaml:"window"`      // for which who asks too much is limited, at most, after it stops
	Slip    int           `yaml:"slip"`        // one suppressed answer in so many goes out empty with TC=1; 0: none
	Exempt  []string      `yaml:"exempt"`      // networks or addresses
	IPv4    int           `yaml:"ipv4_prefix"` // bits of one network
	IPv6    int           `yaml:"ipv6_prefix"`
	Buckets int           `yaml:"buckets"` // of each loop
	Driver  RRLDriver     `yaml:"driver"`
}

func defaultRRL() RRL {
	return RRL{
		Mode: RRLOn, Rate: 200, Window: 15 * time.Second, Slip: 2, Exempt: []string{"127.0.0.0/8", "::1/128"}, IPv4: 24, IPv6: 56,
		Buckets: 16_384, Driver: DriverRefused,
	}
}

func validateRRL(r *report, a *at, l *RRL) {
	r.between(a.child("rate"), l.Rate, 1, 1_000_000)
	r.lasts(a.child("window"), l.Window, time.Second, time.Hour)
	r.between(a.child("slip"), l.Slip, 0, 100)
	r.between(a.child("ipv4_prefix"), l.IPv4, 8, 32)
	r.between(a.child("ipv6_prefix"), l.IPv6, 16, 64)
	r.between(a.child("buckets"), l.Buckets, 1024, 4_194_304)
	for i, s := range l.Exempt {
		r.fault(a.child("exempt").element(i), s, prefixFault(s, "; write a network like 10.0.0.0/8 or an address"))
	}
}
