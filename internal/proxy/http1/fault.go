package http1

import "net/http"

// Rule names what a message breaks. It stands in logs and counters; the set of them is fixed.
type Rule string

// The rules for lines and fields of a head [RFC 9112 2.2, 5].
const (
	BareLF       Rule = "bare-lf"           // a line ends with LF alone
	BareCR       Rule = "bare-cr"           // CR without LF
	ObsFold      Rule = "obs-fold"          // a line continues the field before it [5.2]
	Control      Rule = "control-character" // NUL or another control character in a value
	EmptyLines   Rule = "empty-lines"       // more than one empty line before the request line
	NameBlank    Rule = "blank-before-colon"
	NameEmpty    Rule = "empty-field-name"
	NameToken    Rule = "field-name"      // a character that names cannot have
	NameAlias    Rule = "field-name-like" // reads like a protected name to whoever takes _ for -
	NoColon      Rule = "no-colon"
	LineTooLong  Rule = "line-too-long"
	HeadTooLong  Rule = "head-too-long"
	TooMany      Rule = "too-many-fields"
	RequestLine  Rule = "request-line" // not METHOD, one blank, target, one blank, version
	StatusLine   Rule = "status-line"  // not version, blank, three digits
	Version      Rule = "version"      // neither HTTP/1.0 nor HTTP/1.1
	MethodToken  Rule = "method"
	TargetByte   Rule = "target-character" // not ASCII, or a control character
	TargetForm   Rule = "target-form"      // none of the four forms [3.2], or not with this method
	Fragment     Rule = "target-fragment"
	HostMissing  Rule = "host-missing"
	HostRepeated Rule = "host-repeated"
	HostForm     Rule = "host-form"      // not a name or address with an optional port
	HostTarget   Rule = "host-of-target" // an absolute target that names another host
)

// The rules for framing [RFC 9112 6, 7] and for fields of one hop [RFC 9110 7.6.1].
const (
	LengthAndCoding Rule = "length-and-coding" // Content-Length beside Transfer-Encoding
	LengthRepeated  Rule = "length-repeated"
	LengthForm      Rule = "length-form"     // not 1 to 19 digits
	CodingRepeated  Rule = "coding-repeated" // two Transfer-Encoding fields
	CodingForm      Rule = "coding-form"     // anything but chunked
	CodingOld       Rule = "coding-http10"   // Transfer-Encoding in HTTP/1.0
	NoBody          Rule = "body-not-possible"
	Protected       Rule = "connection-names-protected" // Connection would remove what decides
	Upgrades        Rule = "upgrade-repeated"
	Expectation     Rule = "expectation" // other than 100-continue
	ChunkSize       Rule = "chunk-size"
	ChunkExtension  Rule = "chunk-extension"
	ChunkEnd        Rule = "chunk-end" // no CRLF behind the data
	Trailer         Rule = "trailer"   // a trailer that may not be one [RFC 9110 6.5.1]
)

// Rules are all of them, in the order they stand above.
func Rules() []Rule {
	return []Rule{
		BareLF, BareCR, ObsFold, Control, EmptyLines, NameBlank, NameEmpty, NameToken, NameAlias, NoColon, LineTooLong, HeadTooLong, TooMany,
		RequestLine, StatusLine, Version, MethodToken, TargetByte, TargetForm, Fragment, HostMissing, HostRepeated, HostForm, HostTarget,
		LengthAndCoding, LengthRepeated, LengthForm, CodingRepeated, CodingForm, CodingOld, NoBody, Protected, Upgrades, Expectation,
		ChunkSize, ChunkExtension, ChunkEnd, Trailer,
	}
}

// Fault is why a message is refused.
type Fault struct { //nolint:errname // a fault of the peer, looked at before it is an error
	Rule Rule
	At   int // byte of what was given at which it was noticed
}

func (f *Fault) Error() string {
	switch f.Status() {
	case http.StatusBadRequest:
		return "not HTTP/1.1 as RFC 9112 has it: " + string(f.Rule)
	case http.StatusExpectationFailed:
		return "only 100-continue may be expected: " + string(f.Rule)
	default:
		return "over a limit of this proxy: " + string(f.Rule)
	}
}

// Status is what a client is told: 400, 414, 417 or 431.
func (f *Fault) Status() int {
	switch f.Rule { //nolint:exhaustive // every other rule is a bad request
	case LineTooLong:
		return http.StatusRequestURITooLong
	case HeadTooLong, TooMany:
		return http.StatusRequestHeaderFieldsTooLarge
	case Expectation:
		return http.StatusExpectationFailed
	default:
		return http.StatusBadRequest
	}
}
