package profile

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestDocumentsDecodeToWhatTheFileSays(t *testing.T) {
	files, _ := filepath.Glob("testdata/good/*.yaml")
	more, _ := filepath.Glob("../../examples/*/*.yaml")
	n := 0
	for _, f := range append(files, more...) {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		file, err := Inspect(f, data)
		if err != nil {
			continue
		}
		i := 0
		for _, d := range file.Documents {
			if d.Kind != KindProfile {
				continue
			}
			p, err := DecodeProfile(d.Name, d.Source)
			if err != nil {
				t.Errorf("%s: %v", f, err)
				continue
			}
			if !reflect.DeepEqual(p, &file.Profiles[i]) {
				t.Errorf("%s: profile %s: the document says something else than the file\n%+v\n%+v", f, d.Name, p, file.Profiles[i])
			}
			i++
			n++
		}
	}
	if n < 20 {
		t.Fatalf("only %d profiles were compared", n)
	}
}
