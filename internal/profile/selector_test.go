package profile

import "testing"

func TestSelector(t *testing.T) {
	t.Parallel()
	p := &Profile{Name: "Shop", Labels: map[string]string{"team": "web", "tier": "gold"}}
	e := &Endpoint{Name: "eu, west 1", Location: Location{Region: "eu-central"}, Labels: map[string]string{"tier": "silver"}}
	for text, want := range map[string]bool{
		"profile=shop":                             true,
		"profile=Sho":                              false, // whole names
		"profile=shop2":                            false,
		`endpoint="EU, west 1"`:                    true,
		`endpoint="eu"`:                            false,
		"location=EU-Central":                      true,
		"location=eu":                              false,
		"label:team=web":                           true,
		"label:team=Web":                           false, // labels are exact
		"label:tier=silver":                        true,  // the endpoint's ...
		"label:tier=gold":                          false, // ... before the profile's
		"label:none=x":                             false,
		" profile=shop , label:team=web ":          true,
		"profile=shop,label:team=x":                false,
		`profile=shop,endpoint="eu, west 1"`:       true,
		`endpoint = "eu, west 1" , profile = shop`: true,
	} {
		s, err := ParseSelector(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := s.Match(p, e); got != want {
			t.Errorf("%s matches: %t", text, got)
		}
		again, err := ParseSelector(s.String())
		if err != nil || again.String() != s.String() || again.Match(p, e) != want {
			t.Errorf("%s is printed as %s: %v", text, s, err)
		}
	}
	if (Selector{}).Match(p, e) {
		t.Error("the empty selector matches")
	}
}

func TestSelectorFaults(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "shop", "profile", "profile=", "profile=a,", ",profile=a", "profile=a,,endpoint=b", "node=n1", "label=x", "label:=x", "label:k=",
		"profile:x=y", `endpoint="a`, `endpoint="a"b`, `endpoint=""`, "prof=a",
	} {
		if s, err := ParseSelector(text); err == nil {
			t.Errorf("%q is read as %s", text, s)
		}
	}
}

// FuzzParseSelector: what is read prints as something that reads the same.
func FuzzParseSelector(f *testing.F) {
	for _, text := range []string{"profile=a", `endpoint="a,\"b"`, "label:k=v,location=eu", "profile=a b, endpoint= c ", "=,:"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSelector(text)
		if err != nil {
			return
		}
		again, err := ParseSelector(s.String())
		if err != nil || len(again.terms) != len(s.terms) {
			t.Fatalf("%q is printed as %q: %v", text, s, err)
		}
		for i := range s.terms {
			if s.terms[i] != again.terms[i] {
				t.Fatalf("%q: term %d is %+v, read again %+v", text, i, s.terms[i], again.terms[i])
			}
		}
	})
}
