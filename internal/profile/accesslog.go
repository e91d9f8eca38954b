package profile

// AccessLog says which requests of the proxy are written: File "" is off, "-" standard output.
type AccessLog struct {
	File   string      `yaml:"file"`
	Sample int         `yaml:"sample"` // one in so many requests, at random
	Errors bool        `yaml:"errors"` // and every one that did not get a good answer
	Query  LoggedQuery `yaml:"query"`
}

// LoggedQuery is what is written of a request's query.
type LoggedQuery string

// What the access log has of a query.
const (
	QueryHash  LoggedQuery = "hash"  // the first 8 bytes of its SHA-256
	QueryPlain LoggedQuery = "plain" // as it came
)

// Allowed lists the words of the configuration.
func (LoggedQuery) Allowed() []string { return []string{"hash", "plain"} }

func defaultAccessLog() AccessLog { return AccessLog{Sample: 1, Errors: true, Query: QueryHash} }

func validateAccessLog(r *report, a *at, l *AccessLog) {
	r.between(a.child("sample"), l.Sample, 1, 1_000_000)
}
