package profile

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The reference lists every key, and its defaults and words are those of the code. -update writes the defaults into
// its tables; a key that is missing has to be described by a person.
const reference = "../../docs/configuration.md"

// Two small files show every default: one with everything that is optional, one without.
const (
	fullSample = `
node: {nameserver: {certificates: [{cert: a, key: a}]}, proxy: {tls: {certificates: [{cert: a, key: a}]}}, secrets: {NAME: {env: A}}}
zones: [{name: z.example, nameservers: [ns1.z.example], transfer: {to: [{key: k}], notify: [{address: "192.0.2.53:53"}]}}]
profiles: [{name: p, hostnames: [p.example], endpoints: [{name: e, target: 192.0.2.1}], https: {}, proxy: {sessions: {keys: [{cookie: c}]}}}]
tsig: [{name: k, secret: {file: F}}]
safety: [{name: s, assert: {of: profile=p, at_least: 1}}]
`
	bareSample = `
node: {nameserver: {certificates: [{cert: a, key: a}]}, proxy: {tls: {certificates: [{cert: a, key: a}]}}, secrets: {NAME: {file: A}}}
zones: [{name: z.example, nameservers: [ns1.z.example], transfer: {to: [{prefix: 192.0.2.0/24}], notify: [{address: "192.0.2.53:53"}]}}]
tsig: [{name: k, secret: {env: E}}]
profiles: [{name: p, hostnames: [p.example], endpoints: [{name: e, target: 192.0.2.1}], https: {}, proxy: {sessions: {keys: [{header: c}]}}, failback: {mode: auto}}]
safety: [{name: s, assert: {of: profile=p, at_least: 1}}]
`
)

// written are the keys whose value in the samples is no default.
var written = []string{
	"node.nameserver.certificates[].cert", "node.nameserver.certificates[].key",
	"node.proxy.tls.certificates[].cert", "node.proxy.tls.certificates[].key", "zones[].name", "zones[].nameservers", "zones[].secondary.from[].address",
	"profiles[].name", "profiles[].hostnames", "profiles[].endpoints[].name", "profiles[].endpoints[].target",
	"profiles[].endpoints[].monitor", "profiles[].monitor.checks[].name", "profiles[].monitor.calculated.at_least",
	"safety[].name", "safety[].assert.of", "safety[].assert.at_least",
	"zones[].transfer.notify[].address", "tsig[].name",
}

// row is one line of a table of the reference.
type row struct {
	line                   int
	values, given, meaning string
}

var (
	tableMark = regexp.MustCompile(`^<!-- keys: (\S+) -->$`)
	tableRow  = regexp.MustCompile("^\\| `([^`]+)` \\| (.*) \\| (.*) \\| (.*) \\|$")
)

// rows reads the tables. Keys are full paths.
func rows(t *testing.T, lines []string) map[string]row {
	t.Helper()
	found := map[string]row{}
	section := ""
	for i, line := range lines {
		if m := tableMark.FindStringSubmatch(line); m != nil {
			section = m[1]
		} else if strings.HasPrefix(line, "#") {
			section = ""
		}
		m := tableRow.FindStringSubmatch(line)
		if section == "" || m == nil {
			continue
		}
		key := section + "." + m[1]
		if _, twice := found[key]; twice {
			t.Errorf("%s:%d: %s is described twice", reference, i+1, key)
		}
		found[key] = row{i, m[2], m[3], m[4]}
	}
	return found
}

// keys walks a type and lists its keys with their values in v: lists are shown by their first entry.
func keys(path string, v reflect.Value, out map[string]reflect.Value) {
	switch v.Interface().(type) {
	case Target, Quorum, Value, StatusRange, AllDown, Combine, ECSPolicy, XDPPolicy:
		out[path] = v
		return
	}
	switch {
	case v.Kind() == reflect.Struct && path != "profiles[].endpoints[].monitor":
		for i := range v.NumField() {
			if key := v.Type().Field(i).Tag.Get("yaml"); key != "" && key != "-" && key != inline { // a check's keys are the monitor's
				keys(strings.TrimPrefix(path+"."+key, "."), v.Field(i), out)
			}
		}
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct && !v.IsNil():
		keys(path, v.Elem(), out)
	case v.Kind() == reflect.Slice && v.Len() > 0 && v.Index(0).Kind() == reflect.Struct && v.Type().Elem() != reflect.TypeFor[StatusRange]():
		keys(path+"[]", v.Index(0), out)
	case v.Kind() == reflect.Map && v.Len() > 0 && v.Type().Elem().Kind() == reflect.Struct:
		for _, k := range v.MapKeys() {
			keys(path+"."+k.String(), v.MapIndex(k), out)
		}
	default:
		out[path] = v
	}
}

// shownDefault is a default as an operator writes it, "none" when there is nothing to write.
func shownDefault(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		if x == 0 {
			return "none"
		}
		return "`" + short(x) + "`"
	case Percent:
		return fmt.Sprintf("`%d%%`", x)
	case Size:
		for _, u := range sizeUnits[:3] {
			if next := u.factor << 10; x != 0 && int64(x)%u.factor == 0 && int64(x) < next {
				return fmt.Sprintf("`%d%s`", int64(x)/u.factor, u.suffix)
			}
		}
		return fmt.Sprintf("`%d`", x)
	case TLSVersion:
		return fmt.Sprintf("`%q`", x)
	case []StatusRange:
		return fmt.Sprintf("`[%q]`", x[0])
	case []string:
		if len(x) > 0 {
			return "`[" + strings.Join(x, ", ") + "]`"
		}
	}
	if v.IsZero() && v.Kind() != reflect.Bool && v.Kind() != reflect.Int {
		return "none"
	}
	return fmt.Sprintf("`%v`", v.Interface())
}

func TestReference(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	described := rows(t, lines)
	full, bare := sampleKeys(t, fullSample), sampleKeys(t, bareSample)
	for _, key := range slices.Sorted(maps.Keys(full)) {
		r, ok := described[key]
		if !ok {
			t.Errorf("%s does not describe %s", reference, key)
			continue
		}
		delete(described, key)
		checkWords(t, key, r, full[key])
		want := []string{shownDefault(full[key]), shownDefault(bare[key])}
		if slices.Contains(written, key) || beginsWithAny(r.given, want) {
			continue
		}
		if *update {
			lines[r.line] = strings.Replace(lines[r.line], "| "+r.given+" |", "| "+strings.Replace(r.given, "?", want[1], 1)+" |", 1)
			continue
		}
		t.Errorf("%s:%d: the default of %s is %s, not %s; run with -update", reference, r.line+1, key, want[1], r.given)
	}
	for key, r := range described {
		t.Errorf("%s:%d: there is no key %s", reference, r.line+1, key)
	}
	if *update {
		if err := os.WriteFile(reference, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func beginsWithAny(text string, beginnings []string) bool {
	return slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(text, b) })
}

func sampleKeys(t *testing.T, text string) map[string]reflect.Value {
	t.Helper()
	f, err := DecodeFile("sample.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	m := &f.Profiles[0].Monitor // the parts that exclude each other, side by side
	m.Checks, m.Calculated, m.External = []Check{{}}, &Calculated{}, defaultExternal()
	f.Zones[0].Secondary = defaultSecondary()
	f.Zones[0].Secondary.From = []Primary{{}}
	out := map[string]reflect.Value{}
	keys("", reflect.ValueOf(*f), out)
	return out
}

// checkWords: the reference lists every word of an enumeration, and marks exactly those that are not carried out.
func checkWords(t *testing.T, key string, r row, v reflect.Value) {
	t.Helper()
	c, ok := reflect.TypeAssert[chooser](v)
	if !ok {
		return
	}
	later := laterWords(c)
	var want []string
	for _, word := range c.Allowed() {
		if reflect.TypeOf(c) == reflect.TypeFor[TLSVersion]() {
			word = `"` + word + `"`
		}
		mark := ""
		if later(word) {
			mark = " (not yet)"
		}
		want = append(want, "`"+word+"`"+mark)
	}
	if list := strings.Join(want, ", "); r.values != list {
		t.Errorf("%s:%d: the values of %s are %s", reference, r.line+1, key, list)
	}
}

// TestReferenceSaysNotYet: what NotYet refuses is marked in the reference, at its key or its section.
func TestReferenceSaysNotYet(t *testing.T) {
	t.Parallel()
	text := string(contents(t, reference))
	described := rows(t, strings.Split(text, "\n"))
	index := regexp.MustCompile(`\[\d+\]`)
	f, err := DecodeFile("notyet.yaml", contents(t, filepath.Join("testdata", "good", "notyet.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range NotYet(f) {
		key := strings.Replace(index.ReplaceAllString(p.Path, "[]"), "endpoints[].monitor", "monitor", 1)
		r, ok := described[key]
		marked := strings.Contains(r.values+r.meaning, "(not yet)")
		if !ok {
			_, section, _ := strings.Cut(text, "\n### "+key+"\n")
			marked = strings.HasPrefix(strings.TrimSpace(section), "(not yet)")
		}
		if !marked {
			t.Errorf("%s does not mark %s: %s", reference, key, p.Message)
		}
	}
}
