// Package zone holds one DNS zone as a look-up tree: read from zone text, checked, with the host names of profiles as
// nodes among the static ones. It knows no socket, no health and no clock; a Zone is never changed once it is served.
//
//	profile.Zone -> Parse -> Zone -> Attach(host name, profile number) -> Find(name) -> Match
//
// Find walks from the apex down, so that the first cut or DNAME on the way hides everything below it:
//
//	every label there            Exact      (an empty non-terminal is an Exact node without sets)
//	a delegation on the way      Cut
//	a DNAME above the name       Redirect
//	a label missing, * beside    Wildcard   [RFC 4592: at the closest encloser only]
//	a label missing              Missing
package zone
