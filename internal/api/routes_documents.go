package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"jurymast/internal/profile"
)

// documentRoutes read and write the shared documents.
func (s *Server) documentRoutes(h huma.API) {
	huma.Register(h, operation(http.MethodGet, "/profiles", "list-profiles", "documents", "All profiles with their state in few words"),
		func(context.Context, *struct{}) (*output[ProfileList], error) {
			return &output[ProfileList]{s.profiles()}, nil
		})
	huma.Register(h, operation(http.MethodGet, "/zones", "list-zones", "documents", "All zones"),
		func(context.Context, *struct{}) (*output[ZoneList], error) {
			return &output[ZoneList]{ZoneList{s.ofKind(profile.KindZone)}}, nil
		})
	huma.Register(h, operation(http.MethodGet, "/tsig", "list-tsig", "documents", "All TSIG keys: names, algorithms and where nodes find their secrets, never the secrets"),
		func(context.Context, *struct{}) (*output[TSIGList], error) {
			return &output[TSIGList]{TSIGList{s.ofKind(profile.KindTSIG)}}, nil
		})
	apply := operation(http.MethodPost, "/apply", "apply", "documents", "Store the zones, profiles, safety rules and TSIG keys of a configuration file as one change", http.StatusConflict)
	apply.SkipValidateBody = true
	huma.Register(h, apply, s.apply)
	takesDocuments(h.OpenAPI().Paths[pathApply].Post)
	s.kindRoutes(h, profile.KindProfile, "profile")
	s.kindRoutes(h, profile.KindZone, "zone")
	s.kindRoutes(h, profile.KindSafety, "safety-rule")
	s.kindRoutes(h, profile.KindTSIG, "tsig-key")
}

func (s *Server) kindRoutes(h huma.API, kind profile.Kind, word string) {
	path := "/" + string(kind) + "/{name}"
	huma.Register(h, operation(http.MethodGet, path, "get-"+word, "documents", "A "+word+" as the operator wrote it", http.StatusNotFound),
		func(ctx context.Context, in *getInput) (*documentOutput, error) { return s.get(ctx, kind, in) })
	put := operation(http.MethodPut, path, "put-"+word, "documents", "Create or replace a "+word, http.StatusConflict, http.StatusPreconditionFailed)
	put.SkipValidateBody = true
	huma.Register(h, put,
		func(ctx context.Context, in *putInput) (*documentOutput, error) { return s.put(ctx, kind, in) })
	huma.Register(h, operation(http.MethodDelete, path, "delete-"+word, "documents", "Delete a "+word, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed),
		func(ctx context.Context, in *deleteInput) (*struct{}, error) { return nil, s.remove(ctx, kind, in) })
	described := h.OpenAPI().Paths[base+path]
	takesDocuments(described.Put)
	described.Put.Responses["201"] = &huma.Response{Description: "Created", Content: described.Put.Responses["200"].Content}
	described.Get.Responses["304"] = &huma.Response{Description: "Not Modified"}
}

// ofKind lists the documents of one kind; never nil, so that it is never null.
func (s *Server) ofKind(kind profile.Kind) []Document {
	out := []Document{}
	for _, d := range s.o.Documents.List() {
		if d.Kind == string(kind) {
			out = append(out, d)
		}
	}
	return out
}

func (s *Server) profiles() ProfileList {
	out := ProfileList{Profiles: []ProfileListing{}}
	for _, d := range s.ofKind(profile.KindProfile) {
		one := ProfileListing{Document: d}
		if v := s.view(d.Name); v != nil {
			one.Status = briefOf(v)
		}
		out.Profiles = append(out.Profiles, one)
	}
	return out
}

type getInput struct {
	Name        string `path:"name"`
	IfNoneMatch string `header:"If-None-Match" doc:"entity tag that is known already"`
}

type documentOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   *Document
}

func (s *Server) get(ctx context.Context, kind profile.Kind, in *getInput) (*documentOutput, error) {
	d, ok := s.document(string(kind), in.Name)
	if !ok {
		return nil, problemOf(ctx, s.log, fmt.Errorf("%s/%s: %w", kind, in.Name, ErrNotFound))
	}
	out := &documentOutput{Status: http.StatusOK, ETag: quoted(d.ETag), Body: d}
	for tag := range strings.SplitSeq(in.IfNoneMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag != "" && quoted(strings.TrimPrefix(tag, "W/")) == out.ETag {
			out.Status, out.Body = http.StatusNotModified, nil
			break
		}
	}
	return out, nil
}

type putInput struct {
	Name        string `path:"name"`
	IfMatch     string `header:"If-Match" doc:"replace only what has this entity tag; * only what is there"`
	IfNoneMatch string `header:"If-None-Match" enum:"*" doc:"* creates only"`
	RawBody     []byte `contentType:"application/json" doc:"the document, JSON or YAML"`
}

func (s *Server) put(ctx context.Context, kind profile.Kind, in *putInput) (*documentOutput, error) {
	name, source, err := readDocument(kind, in.Name, in.RawBody)
	var match string
	if err == nil {
		match, err = condition(in.IfMatch, in.IfNoneMatch)
	}
	if err != nil {
		return nil, problemOf(ctx, s.log, err)
	}
	write, cancel := bounded(ctx)
	defer cancel()
	d, created, err := s.o.Documents.Put(write, string(kind), name, source, match, actorOf(ctx))
	if err != nil {
		return nil, problemOf(ctx, s.log, err)
	}
	out := &documentOutput{Status: http.StatusOK, ETag: quoted(d.ETag), Body: &d}
	if created {
		out.Status = http.StatusCreated
	}
	return out, nil
}

// readDocument checks one document as every node will, and makes the JSON that is stored of it, under the name it gives
// itself.
func readDocument(kind profile.Kind, name string, text []byte) (string, []byte, error) {
	where := string(kind) + "/" + name
	found, err := nameIn(kind, where, text)
	if err != nil {
		return "", nil, Invalid(err)
	}
	if !strings.EqualFold(found, name) {
		return "", nil, &InvalidError{profile.Problems{{
			File: where, Line: 1, Column: 1, Path: "name",
			Message: fmt.Sprintf("%q is not the name in the address, %q; write the same name in both", found, name),
		}}}
	}
	source, err := profile.EncodeDocument(where, text)
	if err != nil {
		return "", nil, Invalid(err)
	}
	return found, source, nil
}

// nameIn checks a document and says what it calls itself.
func nameIn(kind profile.Kind, where string, text []byte) (string, error) {
	switch kind {
	case profile.KindProfile:
		p, err := profile.DecodeProfile(where, text)
		if err != nil {
			return "", err
		}
		return p.Name, nil
	case profile.KindSafety:
		r, err := profile.DecodeSafety(where, text)
		if err != nil {
			return "", err
		}
		return r.Name, nil
	case profile.KindTSIG:
		k, err := profile.DecodeTSIG(where, text)
		if err != nil {
			return "", err
		}
		return k.Name, nil
	case profile.KindZone:
	}
	z, err := profile.DecodeZone(where, text)
	if err != nil {
		return "", err
	}
	return z.Name, nil
}

type deleteInput struct {
	Name    string `path:"name"`
	IfMatch string `header:"If-Match" doc:"delete only what has this entity tag"`
}

func (s *Server) remove(ctx context.Context, kind profile.Kind, in *deleteInput) error {
	match, err := condition(in.IfMatch, "")
	if err == nil {
		write, cancel := bounded(ctx)
		defer cancel()
		name := in.Name
		if d, ok := s.document(string(kind), name); ok {
			name = d.Name
		}
		err = s.o.Documents.Delete(write, string(kind), name, match, actorOf(ctx))
	}
	if err != nil {
		return problemOf(ctx, s.log, err)
	}
	return nil
}

type applyInput struct {
	RawBody []byte `contentType:"application/json" doc:"zones and profiles as in a configuration file, JSON or YAML; node is not looked at"`
}

func (s *Server) apply(ctx context.Context, in *applyInput) (*output[ApplyResult], error) {
	if err := checkApply(in.RawBody); err != nil {
		return nil, problemOf(ctx, s.log, err)
	}
	write, cancel := bounded(ctx)
	defer cancel()
	r, err := s.o.Documents.Apply(write, in.RawBody, actorOf(ctx))
	for _, list := range []*[]string{&r.Created, &r.Changed, &r.Unchanged} {
		if *list == nil {
			*list = []string{}
		}
	}
	return answer(ctx, s, r, err)
}

// checkApply judges a whole file. What comes over the API cannot name files of this machine.
func checkApply(text []byte) error {
	const where = "request"
	f, err := profile.DecodeFile(where, text)
	if err != nil {
		return Invalid(err)
	}
	var ps profile.Problems
	for i := range f.Zones {
		if f.Zones[i].File != "" {
			ps = append(ps, profile.Problem{
				File: where, Line: 1, Column: 1, Path: fmt.Sprintf("zones[%d].file", i),
				Message: "a request cannot name a file of the node; write the zone's text in records",
			})
		}
	}
	if len(f.Documents) == 0 {
		ps = append(ps, profile.Problem{File: where, Line: 1, Column: 1, Message: "names no zones and no profiles; write at least one"})
	}
	if len(ps) > 0 {
		return &InvalidError{ps}
	}
	return nil
}

// condition turns the headers into the one word of DocumentStore.
func condition(ifMatch, ifNoneMatch string) (string, error) {
	switch {
	case ifMatch != "" && ifNoneMatch != "":
		return "", newProblem(http.StatusBadRequest, CodeRequest, "If-Match and If-None-Match contradict each other; send one")
	case ifNoneMatch != "":
		return IfAbsent, nil
	case ifMatch == "" || ifMatch == "*":
		return ifMatch, nil
	case strings.Contains(ifMatch, ",") || strings.HasPrefix(ifMatch, "W/"):
		return "", newProblem(http.StatusBadRequest, CodeRequest, "If-Match takes one strong entity tag, or *")
	}
	return quoted(ifMatch), nil
}

// quoted gives an entity tag its quotes [RFC 9110 section 8.8.3] if it has none.
func quoted(tag string) string {
	if tag == "" || strings.HasPrefix(tag, `"`) {
		return tag
	}
	return `"` + tag + `"`
}
