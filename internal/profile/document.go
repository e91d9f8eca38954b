package profile

import (
	"bytes"
	"fmt"
	"reflect"
)

// DecodeFile reads a configuration file: YAML or JSON, strict, defaults filled in, validated. The error is Problems,
// every mistake at once. Zones that name a `file:` still have to be read: call InlineZoneFiles.
func DecodeFile(name string, data []byte) (*File, error) {
	f, err := Inspect(name, data)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Inspect is DecodeFile for callers that have more to say about a file with mistakes: beside the error it returns what
// could be understood, with defaults where nothing could, or nil when the text has no structure at all. Never start
// anything with a file that came with an error.
func Inspect(name string, data []byte) (*File, error) {
	d := &decoder{&report{file: name}}
	root := d.parse(data, maxFileBytes)
	if root == nil {
		return nil, d.err()
	}
	root = d.underDefaults(root)
	f, a := defaultFile(), rootAt(root)
	d.into(a, reflect.ValueOf(f).Elem(), nil)
	finishNode(a.child("node"), &f.Node)
	for i := range f.Zones {
		finishZone(&f.Zones[i])
	}
	for i := range f.TSIG {
		finishTSIG(&f.TSIG[i])
	}
	for i := range f.Profiles {
		finishProfile(d, a.child("profiles").element(i), &f.Profiles[i])
	}
	f.source, f.root = name, root
	f.Documents = documents(d.report, f)
	validateFile(d.report, a, f)
	return f, d.err()
}

// DecodeProfile reads one shared profile, JSON or YAML, as DecodeFile does. name stands in the messages: a file, or
// what the document is called in the store.
func DecodeProfile(name string, source []byte) (*Profile, error) {
	d := &decoder{&report{file: name}}
	root := d.parse(source, maxDocumentBytes)
	if root == nil {
		return nil, d.err()
	}
	a := rootAt(root)
	p := startingProfile(a)
	d.into(a, reflect.ValueOf(p).Elem(), nil)
	finishProfile(d, a, p)
	if a.mapping() {
		validateProfile(d.report, a, p)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// DecodeZone reads one shared zone, JSON or YAML. A shared document cannot name a file: `file:` is refused.
func DecodeZone(name string, source []byte) (*Zone, error) {
	d := &decoder{&report{file: name}}
	root := d.parse(source, maxDocumentBytes)
	if root == nil {
		return nil, d.err()
	}
	z, a := defaultZone(), rootAt(root)
	d.into(a, reflect.ValueOf(z).Elem(), nil)
	finishZone(z)
	if a.has("file") {
		d.errorf(a.child("file"), "a shared document cannot name a file; write the zone's text in records")
	}
	if a.mapping() {
		validateZone(d.report, a, z)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return z, nil
}

// DecodeSafety reads one shared safety rule, JSON or YAML.
func DecodeSafety(name string, source []byte) (*Safety, error) {
	d := &decoder{&report{file: name}}
	root := d.parse(source, maxDocumentBytes)
	if root == nil {
		return nil, d.err()
	}
	s, a := &Safety{}, rootAt(root)
	d.into(a, reflect.ValueOf(s).Elem(), nil)
	if a.mapping() {
		validateSafety(d.report, a, s)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// DecodeTSIG reads one shared key, JSON or YAML.
func DecodeTSIG(name string, source []byte) (*TSIG, error) {
	d := &decoder{&report{file: name}}
	root := d.parse(source, maxDocumentBytes)
	if root == nil {
		return nil, d.err()
	}
	k, a := defaultTSIG(), rootAt(root)
	d.into(a, reflect.ValueOf(k).Elem(), nil)
	finishTSIG(k)
	if a.mapping() {
		validateTSIG(d.report, a, k)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return k, nil
}

// EncodeDocument is the ordered JSON of one shared document as the operator wrote it, ready for the store: aliases
// expanded, no defaults. It checks the text only; DecodeProfile, DecodeZone and their like check what it says.
func EncodeDocument(name string, source []byte) ([]byte, error) {
	r := &report{file: name}
	root := r.parse(source, maxDocumentBytes)
	if err := r.err(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	root.writeJSON(&b)
	return b.Bytes(), nil
}

// documents are the zones, profiles, safety rules and keys of a file in their source form.
func documents(r *report, f *File) []Document {
	var out []Document
	root := rootAt(f.root)
	for i := range f.Zones {
		out = append(out, encode(r, root.child("zones").element(i), KindZone, f.Zones[i].Name))
	}
	for i := range f.Profiles {
		out = append(out, encode(r, root.child("profiles").element(i), KindProfile, f.Profiles[i].Name))
	}
	for i := range f.Safety {
		out = append(out, encode(r, root.child("safety").element(i), KindSafety, f.Safety[i].Name))
	}
	for i := range f.TSIG {
		out = append(out, encode(r, root.child("tsig").element(i), KindTSIG, f.TSIG[i].Name))
	}
	return out
}

func encode(r *report, a *at, kind Kind, name string) Document {
	var b bytes.Buffer
	a.n.writeJSON(&b)
	if b.Len() > maxDocumentBytes {
		r.errorf(a, "is %d bytes in the store; allowed: at most %d, because the store writes a document at once; split it", b.Len(), maxDocumentBytes)
	}
	return Document{Kind: kind, Name: name, Source: b.Bytes()}
}

// InlineZoneFiles reads every zone file the configuration names, through read, and puts its text into Records and
// into the zone's Document, so that nothing shared names a file. Relative paths are handed to read as written. What the
// text includes is read through include, which gets the zone file as written and a clean relative path below its folder;
// it must not follow a link out of that folder. With a nil include nothing can be included.
func (f *File) InlineZoneFiles(read func(path string) ([]byte, error), include func(zone, name string) ([]byte, error)) error {
	r := &report{file: f.source}
	zones := rootAt(f.root).child("zones")
	for i := range f.Zones {
		z, a := &f.Zones[i], zones.element(i)
		if z.File == "" {
			continue
		}
		text, err := read(z.File)
		if err != nil {
			r.errorf(a.child("file"), "cannot read the zone file: %v; correct the path or write the text in records", err)
			continue
		}
		if !f.inline(r, a, i, text, include) {
			continue
		}
		validateAuthority(r, a, z)
		f.Documents[i] = encode(r, &at{up: a.up, item: true, index: i, n: a.n.inlined(z.Records), line: a.line, column: a.column}, KindZone, z.Name)
	}
	return r.err()
}

// inline makes the text of the i-th zone's file its records.
func (f *File) inline(r *report, a *at, i int, text []byte, include func(zone, name string) ([]byte, error)) bool {
	z := &f.Zones[i]
	if !(&report{}).plainText(string(text)) && len(text) <= maxDocumentBytes {
		r.errorf(a.child("file"), "%s is not text; allowed: UTF-8 without control characters", z.File)
		return false
	}
	whole := zoneText{file: z.File}
	records, full := string(text), len(text) > maxDocumentBytes
	if include != nil && !full && includes(records) {
		in := &includer{r: r, a: a, source: f.source, text: whole, origin: z.Name + "."}
		if z.Name == "." {
			in.origin = z.Name
		}
		in.read = func(name string) ([]byte, error) { return include(z.File, name) }
		before := len(r.list)
		in.file(&context{}, records)
		if len(r.list) > before {
			return false
		}
		records, whole, full = in.out.String(), in.text, in.full
	}
	if full {
		r.errorf(a.child("file"), "%s has more than %d bytes with what it includes, which is all one zone may have; split the zone", z.File, maxDocumentBytes)
		return false
	}
	if f.zoneFiles == nil {
		f.zoneFiles = map[int]zoneText{}
	}
	f.zoneFiles[i] = whole
	z.Records, z.File = records, ""
	return true
}

// inlined is a copy of a zone's node with the file's text in place of its name.
func (n *node) inlined(text string) *node {
	out := *n
	out.entries = nil
	for _, e := range n.entries {
		if e.key == "file" {
			e.key, e.value = "records", &node{kind: kindText, text: text, line: e.line, column: e.column}
		}
		out.entries = append(out.entries, e)
	}
	return &out
}

// place finds a document of a document, for messages of the functions that look at a finished File.
func (f *File) place(list string, i int) *at {
	if f.root == nil { // built in code, not decoded
		root := &at{line: 1, column: 1}
		return (&at{up: root, key: list, line: 1, column: 1}).element(i)
	}
	return rootAt(f.root).child(list).element(i)
}

// String names the document as messages do.
func (d Document) String() string { return fmt.Sprintf("%s/%s", d.Kind, d.Name) }
