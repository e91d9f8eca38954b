package main

import (
	"fmt"
	"net/http"
	"time"

	"jurymast/bench/side"
)

// The goals of signed zones.
const (
	goalSigned = 1.30 // CPU time per answer with DO of a signed zone, to that of an unsigned one
	goalStart  = 10.0 // seconds from the start to the last name of many signed
)

// manySigned is how many names chosen by health a signed zone starts with.
const manySigned = 10_000

// signature is how many bytes an RRSIG of an address takes at least: head, fixed part, the zone's name, 64 bytes of P-256
// [RFC 4034 3.1, RFC 6605].
const signature = 12 + 18 + len(zone) + 2 + 64

// wantSignatures is what dnsperf asks for.
var wantSignatures = []string{"-D"}

var (
	signedColumns = []column{{"us", "us/answer", "%.2f"}, {"qps", "dnsperf q/s", "%.0f"}, {"bytes", "bytes", "%.0f"}, {"mib", "MiB", "%.0f"}, {"other", "other %", "%.0f"}}
	startColumns  = []column{{"ready", "ready s", "%.2f"}, {"cpu", "CPU s", "%.2f"}, {"mib", "MiB", "%.0f"}}
)

// signed measures what signatures cost: CPU time per answer with DO of a signed zone beside the same zone unsigned, for
// Jurymast and Knot; and how long a large signed zone takes to start.
func (b *bench) signed() error {
	for _, s := range b.servers {
		if !s.signs {
			continue
		}
		all, err := b.pairs("signed", b.Pairs, []contender{
			{label: s.name + " unsigned", server: s, world: world{names: usual, dynamic: true}},
			{label: s.name + " signed", server: s, world: world{names: usual, dynamic: true, signed: true}},
		}, b.signedOf)
		if err != nil {
			return err
		}
		f, why := ratio(all[1], all[0].To("us"), "us")
		if s.name == jurymast {
			b.report.most("CPU time per answer with DO, signed to unsigned", f, goalSigned, why)
		} else if why == "" {
			fmt.Printf("ratio     %s, CPU time per answer with DO, signed to unsigned: %.3f\n", s.name, f)
		}
	}
	b.report.table("Answers with DO", "signed", signedColumns...)
	return b.signedStart()
}

// signedOf is one run with DO. The answers of a signed zone must be longer by a signature, else it is none.
func (b *bench) signedOf(l *live) (side.Values, error) {
	v := side.Values{}
	if _, err := b.dnsperf(l, 1, wantSignatures...); err != nil {
		return nil, err
	}
	if err := b.perfOf(l, v, "", wantSignatures...); err != nil {
		return nil, err
	}
	v["mib"] = side.Memory(l.pid)
	if plain := len(question(name(0), typeA)) + 16; l.world.signed && v["bytes"] < float64(plain+signature) {
		return nil, fmt.Errorf("answers of %.0f bytes hold no signature", v["bytes"])
	}
	return v, nil
}

// signedStart measures how long it takes until the first and the last of many names are answered with signatures.
func (b *bench) signedStart() error {
	all, err := b.pairs("start", min(b.Pairs, 3), []contender{
		{label: kind(true, manySigned), server: b.servers[0], world: world{names: manySigned, dynamic: true}},
		{label: kind(true, manySigned) + " signed", server: b.servers[0], world: world{names: manySigned, dynamic: true, signed: true}},
	}, b.startOf)
	if err != nil {
		return err
	}
	b.report.table("Start with many names", "start", startColumns...)
	why := ""
	if all[1].Median("ready") == 0 {
		why = "no run counts"
	}
	b.report.most(fmt.Sprintf("seconds until %d names are signed", manySigned), all[1].Median("ready"), goalStart, why)
	return nil
}

// startOf waits until the node says that it is ready, which it is when everything is signed, and asks every name then.
func (b *bench) startOf(l *live) (side.Values, error) {
	began := time.Now()
	if err := b.ready(l); err != nil {
		return nil, err
	}
	v := side.Values{"ready": (l.took + time.Since(began)).Seconds()}
	cpu, err := side.CPU(l.pid)
	if err != nil {
		return nil, err
	}
	v["cpu"], v["mib"] = cpu.Seconds(), side.Memory(l.pid)
	if err := b.sleep(time.Second); err != nil {
		return nil, err
	}
	p, err := b.dnsperf(l, 2, wantSignatures...)
	if err != nil {
		return nil, err
	}
	if err := p.counts(); err != nil {
		return nil, err
	}
	if plain := len(question(name(0), typeA)) + 16; l.world.signed && p.response < plain+signature {
		return nil, fmt.Errorf("answers of %d bytes hold no signature", p.response)
	}
	return v, nil
}

// ready waits until the API of a node says so.
func (b *bench) ready(l *live) error {
	for end := time.Now().Add(time.Minute); ; {
		request, err := http.NewRequestWithContext(b.ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/readyz", l.api), nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = answer.Body.Close() // nothing of it is read
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("/readyz says %s", answer.Status)
		}
		if time.Now().After(end) {
			return err
		}
		if err := b.sleep(20 * time.Millisecond); err != nil {
			return err
		}
	}
}
