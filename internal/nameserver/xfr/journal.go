package xfr

import (
	"iter"
	"slices"
)

// Bounds of a Journal.
const (
	MaxSteps = 100     // versions that can be led on to the current one
	MaxBytes = 1 << 20 // of all steps together, roughly
)

// Journal is the current version of a zone and the last steps that led to it. It lives in memory: after a restart it is
// empty, and whoever asks for a difference gets the whole zone [RFC 1995 4]. It is not safe for concurrent use, what it
// returns is.
type Journal struct {
	now   *Version
	steps []*step
	bytes int
}

// step leads from one version to the next.
type step struct {
	from, to   Record // SOAs
	serial     uint32 // of from
	gone, come []Record
	size       int
}

// Current is the version that is transferred, nil before the first.
func (j *Journal) Current() *Version { return j.now }

// Steps is how many versions can be led on to the current one.
func (j *Journal) Steps() int { return len(j.steps) }

// Put makes a version the current one. One that does not follow the current one, or does not come from the common
// content, is not led on to: alone forgets the steps.
func (j *Journal) Put(v *Version, alone bool) {
	was := j.now
	j.now = v
	if alone || was == nil || !Newer(v.Serial, was.Serial) {
		j.steps, j.bytes = nil, 0
		return
	}
	s := &step{from: was.SOA, to: v.SOA, serial: was.Serial}
	s.gone, s.come = diff(was, v)
	s.size = s.from.size() + s.to.size()
	for _, list := range [][]Record{s.gone, s.come} {
		for i := range list {
			s.size += list[i].size()
		}
	}
	j.steps, j.bytes = append(j.steps, s), j.bytes+s.size
	for len(j.steps) > MaxSteps || j.bytes > MaxBytes {
		j.bytes -= j.steps[0].size
		j.steps = append([]*step(nil), j.steps[1:]...)
	}
}

// Answer is what a secondary with that serial gets [RFC 1995 4].
type Answer struct {
	Version *Version
	Kind    Kind
	Records iter.Seq[*Record]
}

// Kind of an Answer.
type Kind uint8

// The kinds.
const (
	Whole    Kind = iota // the zone
	Steps                // differences
	Nothing              // one SOA: the secondary has it all
	OnlySOA              // one SOA: come again over TCP
	kindsEnd             // none
)

func (k Kind) String() string {
	return [kindsEnd]string{"axfr", "ixfr", "current", "soa"}[k]
}

// Since answers a secondary that has a serial: nothing new, the steps from there, or the whole zone when they are not
// known or longer than it. Nil before the first version.
func (j *Journal) Since(serial uint32) *Answer {
	v := j.now
	if v == nil {
		return nil
	}
	if !Newer(v.Serial, serial) {
		return &Answer{v, Nothing, one(&v.SOA)}
	}
	size := 2 * v.SOA.size()
	for i, s := range slices.Backward(j.steps) {
		size += s.size
		if s.serial == serial {
			if size >= v.Size() {
				break
			}
			return &Answer{v, Steps, stepwise(v, j.steps[i:])}
		}
	}
	return j.All()
}

// All answers with the whole zone. Nil before the first version.
func (j *Journal) All() *Answer {
	if j.now == nil {
		return nil
	}
	return &Answer{j.now, Whole, j.now.All()}
}

// SOA answers with the SOA alone. Nil before the first version.
func (j *Journal) SOA() *Answer {
	if j.now == nil {
		return nil
	}
	return &Answer{j.now, OnlySOA, one(&j.now.SOA)}
}

func one(r *Record) iter.Seq[*Record] {
	return func(yield func(*Record) bool) { yield(r) }
}

// stepwise tells the steps, each between its SOAs, all between the newest.
func stepwise(v *Version, steps []*step) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		if !yield(&v.SOA) {
			return
		}
		for _, s := range steps {
			if !yield(&s.from) || !each(s.gone, yield) || !yield(&s.to) || !each(s.come, yield) {
				return
			}
		}
		yield(&v.SOA)
	}
}

func each(list []Record, yield func(*Record) bool) bool {
	for i := range list {
		if !yield(&list[i]) {
			return false
		}
	}
	return true
}
