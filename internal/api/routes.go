package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	base      = "/api/v1"
	pathApply = base + "/apply"
)

// handler joins everything that is answered.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Jurymast", s.o.Version)
	config.Info.Description = "State, orders and documents of one Jurymast node and, through it, of all nodes that share its store. " +
		"Errors are problem details (RFC 9457) with a code for programs."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", "" // served below, without assets from elsewhere
	config.CreateHooks = nil                                             // no $schema in answers
	config.Transformers = []huma.Transformer{ownWords}
	config.RejectUnknownQueryParameters = true
	h := humago.New(mux, config)
	s.stateRoutes(h)
	s.documentRoutes(h)
	s.orderRoutes(h)
	s.journalRoutes(h)
	s.toolRoutes(h)
	s.signalRoutes(h)
	s.secretRoutes(h)
	s.zoneRoutes(h)
	s.transferRoutes(h)
	s.trafficRoutes(h)
	s.limitRoutes(h)
	s.secondaryRoutes(h)
	s.plainRoutes(mux, h.OpenAPI())
	return s.guarded(mux)
}

// plainRoutes are what is not JSON of a fixed shape: pages, probes, metrics and the description of the API itself.
func (s *Server) plainRoutes(mux *http.ServeMux, spec *huma.OpenAPI) {
	describeErrors(spec)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.o.Metrics)
	mux.HandleFunc("GET /status", s.page)
	mux.Handle("GET /{$}", http.RedirectHandler("/status", http.StatusFound))
	asJSON, jsonErr := json.MarshalIndent(spec, "", " ")
	asYAML, yamlErr := spec.YAML()
	mux.HandleFunc("GET /api/openapi.json", s.description(mediaJSON, asJSON, jsonErr))
	mux.HandleFunc("GET /api/openapi.yaml", s.description(mediaYAML[0], asYAML, yamlErr))
}

func (s *Server) description(kind string, text []byte, err error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err != nil {
			problemOf(r.Context(), s.log, err).write(w)
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(text)
	}
}

// describeErrors names our problem details as the shape of every error, in place of the framework's.
func describeErrors(spec *huma.OpenAPI) {
	ours := spec.Components.Schemas.Schema(typeOfProblem, true, "")
	for _, path := range spec.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Put, path.Post, path.Delete} {
			if op == nil {
				continue
			}
			for r := range maps.Values(op.Responses) {
				if c, ok := r.Content["application/problem+json"]; ok {
					c.Schema = ours
				}
			}
		}
	}
	for _, theirs := range []string{"ErrorModel", "ErrorDetail"} {
		delete(spec.Components.Schemas.Map(), theirs)
	}
}

// offered reports that there is something at the address that takes the method.
func offered(mux *http.ServeMux, r *http.Request) bool {
	_, pattern := mux.Handler(r)
	return pattern != ""
}

// misses answers what the mux does not know with problem details too.
func misses(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, pattern := mux.Handler(r); pattern == "" {
			probe := &statusOnly{header: http.Header{}, status: http.StatusOK}
			h.ServeHTTP(probe, r)
			p := newProblem(probe.status, CodeNotFound, "there is nothing at "+r.URL.Path+"; GET /api/openapi.json lists what there is")
			if probe.status == http.StatusMethodNotAllowed {
				w.Header().Set("Allow", probe.header.Get("Allow"))
				p = newProblem(probe.status, CodeRequest, r.Method+" is not possible here; allowed: "+probe.header.Get("Allow"))
			}
			p.write(w)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// statusOnly catches what the mux would answer.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }

// operation is what all routes share. Huma adds 422 and 500 by itself.
func operation(method, path, id, tag, summary string, errs ...int) huma.Operation {
	op := huma.Operation{
		Method: method, Path: base + path, OperationID: id, Tags: []string{tag}, Summary: summary, Errors: errs,
		MaxBodyBytes: maxBody, BodyReadTimeout: readTimeout,
	}
	if method != http.MethodGet {
		op.Errors = slices.Concat(errs, []int{http.StatusForbidden, http.StatusUnsupportedMediaType, http.StatusServiceUnavailable})
	}
	return op
}

// takesDocuments describes a body that is judged by profile, not by a schema here, and may be JSON or YAML.
func takesDocuments(op *huma.Operation) {
	body := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}
	op.RequestBody.Content = map[string]*huma.MediaType{mediaJSON: body, mediaYAML[0]: body}
}

// output is an answer that is only a body.
type output[T any] struct{ Body T }

// named is a request that names a document.
type named struct {
	Name string `path:"name" doc:"name of the document"`
}

// answer maps the outcome of a handler.
func answer[T any](ctx context.Context, s *Server, body T, err error) (*output[T], error) {
	if err != nil {
		return nil, problemOf(ctx, s.log, err)
	}
	return &output[T]{body}, nil
}

// bounded is the context of one write to the store.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, storeTimeout)
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", mediaJSON)
	_, _ = w.Write([]byte(`{"live":true}` + "\n"))
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	ready, why := s.o.Ready()
	w.Header().Set("Content-Type", mediaJSON)
	if !ready {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(Readiness{Ready: ready, WaitingFor: why}) // the client is gone: nobody is left to tell
}

// now is the one clock of the API.
func now() time.Time { return time.Now().UTC() }
