package profile

// validateSafety checks one rule by itself: it has a name, exactly one purpose, and selectors that can be read.
func validateSafety(r *report, a *at, s *Safety) {
	r.name(a.child("name"), s.Name)
	gate, of, assert := a.child("gate"), a.child("of"), a.child("assert")
	switch {
	case gate.given() && assert.given():
		r.errorf(gate, "stands beside assert; a rule is one of them; write two rules")
		return
	case !gate.given() && !assert.given():
		r.errorf(a, "says nothing; write assert: {of: SELECTOR, at_least: N} or gate: SWITCH")
		return
	case assert.given():
		if of.given() {
			r.errorf(of, "belongs to gate; write the selector as assert.of")
		}
		if assert.mapping() && s.Assert != nil {
			validateAssert(r, assert, s.Assert)
		}
		return
	}
	r.fault(gate, s.Gate, nameFault(s.Gate))
	if of.given() && s.Of != "" {
		r.selector(of, s.Of)
	}
}

func validateAssert(r *report, a *at, s *Assert) {
	if of := a.child("of"); of.given() {
		r.selector(of, s.Of)
	} else {
		r.errorf(of, "is missing; write which endpoints are counted; %s", selectorHelp)
	}
	if least := a.child("at_least"); least.given() {
		r.between(least, s.AtLeast, 1, 100_000)
	} else {
		r.errorf(least, "is missing; write how many must stay usable")
	}
}

func (r *report) selector(a *at, text string) {
	if _, err := ParseSelector(text); err != nil {
		r.errorf(a, "%v", err)
	}
}
