package profile

import "strings"

// validateZone checks what can be said about a zone without parsing its records, which the nameserver does.
func validateZone(r *report, a *at, z *Zone) {
	name := a.child("name")
	switch {
	case !name.given():
		r.errorf(name, "is missing; write the zone's name like dr.example")
	default:
		r.fault(name, z.Name, hostNameFault(z.Name))
	}
	if z.Secondary != nil {
		validateSecondary(r, a, z)
		return
	}
	seen := unique{}
	for i, ns := range z.Nameservers {
		place := a.child("nameservers").element(i)
		r.fault(place, ns, hostNameFault(ns))
		seen.add(r, place, "the name server", ns)
	}
	if a.has("hostmaster") {
		why := hostNameFault(z.Hostmaster)
		if strings.Contains(z.Hostmaster, "@") {
			why = "is a mail address; write it as DNS does, with a dot for the @: " + strings.Replace(z.Hostmaster, "@", ".", 1)
		}
		r.fault(a.child("hostmaster"), z.Hostmaster, why)
	}
	validateTransfer(r, a.child("transfer"), z)
	validateKeys(r, a.child("dnssec"), &z.DNSSEC)
	if a.has("file") {
		file := a.child("file")
		switch {
		case a.has("records"):
			r.errorf(file, "stands beside records; keep one of them")
		case z.File == "":
			r.errorf(file, "is empty; write the path of a zone file")
		}
		return // the text is checked when it has been read
	}
	validateAuthority(r, a, z)
}

// validateAuthority checks that a zone has exactly one source of its SOA and NS: its nameservers, or its own text.
func validateAuthority(r *report, a *at, z *Zone) {
	soa, ns := ownAuthority(z.Records)
	place := a.child("nameservers")
	switch {
	case soa && ns && len(z.Nameservers) > 0:
		r.errorf(place, "the records already have an SOA and NS of their own; remove nameservers and hostmaster, or those records")
	case soa && !ns && len(z.Nameservers) == 0:
		r.errorf(place, "the records have an SOA but no NS; add NS records, or remove the SOA and write nameservers")
	case soa && len(z.Nameservers) > 0:
		r.errorf(place, "the records already have an SOA of their own; remove it, or nameservers and hostmaster")
	case !soa && len(z.Nameservers) == 0:
		r.errorf(place, "is missing; write the names of the servers of this zone like [ns1.%s], or put SOA and NS into the records", z.Name)
	}
}

// ownAuthority looks for records of type SOA and NS in zone-file text. It is a light look at single lines: the
// nameserver parses the text and has the last word.
func ownAuthority(records string) (soa, ns bool) {
	for line := range strings.Lines(records) {
		line, _, _ = strings.Cut(line, ";")
		words := strings.Fields(strings.ToUpper(line))
		if len(words) > 0 && !strings.ContainsAny(line[:1], " \t") {
			words = words[1:] // the owner, which may well be called ns
		}
		for len(words) > 0 && (words[0] == "IN" || words[0][0] >= '0' && words[0][0] <= '9') {
			words = words[1:] // class and TTL, in either order
		}
		if len(words) > 0 {
			soa = soa || words[0] == "SOA"
			ns = ns || words[0] == "NS"
		}
	}
	return soa, ns
}
