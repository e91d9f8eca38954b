package api

import (
	"fmt"
	"slices"
	"strings"

	"jurymast/internal/health"
	"jurymast/internal/snapshot"
)

// Names of documents and endpoints are unique whatever their case, so a name in a request finds what is meant in any
// case; answers, orders and the journal carry it as its document writes it.

// indexOf is the number of a profile, or -1.
func indexOf(s *snapshot.Snapshot, name string) int {
	if i := s.Index(name); i >= 0 {
		return i
	}
	for i, p := range s.Documents().Profiles {
		if strings.EqualFold(p.Name, name) {
			return i
		}
	}
	return -1
}

// endpointIn finds an endpoint of a view, or nil.
func endpointIn(v *health.View, name string) *health.EndpointView {
	if e := v.Endpoint(name); e != nil {
		return e
	}
	for i := range v.Endpoints {
		if strings.EqualFold(v.Endpoints[i].Config.Name, name) {
			return &v.Endpoints[i]
		}
	}
	return nil
}

// canonical is the name of a profile as its document writes it; what is not there stays as it is.
func (s *Server) canonical(name string) string {
	if v := s.view(name); v != nil {
		return v.Profile.Name
	}
	return name
}

// view of a profile this node uses, or nil.
func (s *Server) view(name string) *health.View {
	snap := s.o.Hub.Load()
	return viewAt(snap, indexOf(snap, name))
}

// document finds a stored document.
func (s *Server) document(kind, name string) (*Document, bool) {
	list := s.o.Documents.List()
	i := slices.IndexFunc(list, func(d Document) bool { return d.Kind == kind && d.Name == name })
	if i < 0 {
		i = slices.IndexFunc(list, func(d Document) bool { return d.Kind == kind && strings.EqualFold(d.Name, name) })
	}
	if i < 0 {
		return nil, false
	}
	return &list[i], true
}

func noProfile(name string) error { return fmt.Errorf("profile %q: %w", name, ErrNotFound) }

func noEndpoint(profile, name string) error {
	return fmt.Errorf("endpoint %q of profile %q: %w", name, profile, ErrNotFound)
}

// find is a profile and one of its endpoints, or why not.
func (s *Server) find(name, endpoint string) (*health.View, *health.EndpointView, error) {
	v := s.view(name)
	if v == nil {
		return nil, nil, noProfile(name)
	}
	e := endpointIn(v, endpoint)
	if e == nil {
		return nil, nil, noEndpoint(v.Profile.Name, endpoint)
	}
	return v, e, nil
}
