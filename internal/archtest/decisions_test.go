package archtest

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	lastDecision  = 38 // the highest number in decisionsPage
	decisionsPage = "docs/azure.md"
	laterHeading  = "\n### The Azure-compatible API\n" // what stands under it waits for that API
	storyFolder   = "internal/sim/testdata/answers"
)

var (
	decisionRow   = regexp.MustCompile(`(?m)^\| D(\d+) \|`)
	decisionLater = regexp.MustCompile(`\bD(\d+) `)
	decisionTest  = regexp.MustCompile(`(?m)^func TestD(\d+)[A-Z]`)
	decisionStory = regexp.MustCompile(`^d0*(\d+)-[a-z0-9-]+\.txt$`) // each is a subtest
)

// Every decision of docs/azure.md that is carried out has a test with its number, and every test with a number has its
// decision.
func TestEveryDecisionHasATest(t *testing.T) {
	for _, finding := range decisions(os.DirFS(root)) {
		t.Error(finding)
	}
}

func decisions(fsys fs.FS) (found []string) {
	page, err := fs.ReadFile(fsys, decisionsPage)
	if err != nil {
		return []string{err.Error()}
	}
	now, later, _ := strings.Cut(string(page), laterHeading)
	later, _, _ = strings.Cut(later, "\n## ")
	done, waits := numbers(decisionRow, now), numbers(decisionLater, later)
	tested, err := decisionTests(fsys)
	if err != nil {
		return []string{err.Error()}
	}
	for n := 1; n <= lastDecision; n++ {
		switch {
		case done[n] && waits[n]:
			found = append(found, fmt.Sprintf("%s: D%d is both carried out and waiting", decisionsPage, n))
		case !done[n] && !waits[n]:
			found = append(found, fmt.Sprintf("%s: D%d is missing", decisionsPage, n))
		case done[n] && tested[n] == "":
			found = append(found, fmt.Sprintf("D%d has no test: write a func TestD%d... or a story %s/d%02d-....txt", n, n, storyFolder, n))
		}
		delete(tested, n)
	}
	for n, where := range tested {
		found = append(found, fmt.Sprintf("%s: there is no decision D%d", where, n))
	}
	return found
}

// decisionTests are the numbers that tests name, with a file of each.
func decisionTests(fsys fs.FS) (map[int]string, error) {
	tested := map[int]string{}
	for _, folder := range []string{"internal", "cmd"} {
		err := fs.WalkDir(fsys, folder, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if m := decisionStory.FindStringSubmatch(path.Base(p)); m != nil && path.Dir(p) == storyFolder {
				tested[number(m[1])] = p
			}
			if d.IsDir() || !strings.HasSuffix(p, "_test.go") {
				return nil
			}
			text, err := fs.ReadFile(fsys, p)
			for n := range numbers(decisionTest, string(text)) {
				tested[n] = p
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return tested, nil
}

func numbers(re *regexp.Regexp, text string) map[int]bool {
	out := map[int]bool{}
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		out[number(m[1])] = true
	}
	return out
}

func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

func TestDecisionsReports(t *testing.T) {
	var page strings.Builder
	fsys := fstest.MapFS{
		"cmd/x/x_test.go":             {Data: []byte("package x\n")},
		"internal/a/a_test.go":        {Data: []byte("package a\n\nfunc TestD1One(t *testing.T) {}\nfunc TestD22Two(t *testing.T) {}\nfunc TestD99None(t *testing.T) {}\n")},
		storyFolder + "/d03-none.txt": {Data: []byte("\n")},
		storyFolder + "/d4.txt":       {Data: []byte("\n")},
	}
	for n := 1; n <= lastDecision; n++ {
		if n != 2 && n <= 30 {
			fmt.Fprintf(&page, "| D%d | what | so | same |\n", n)
		}
	}
	page.WriteString(laterHeading + "D29 is 400; ")
	for n := 31; n <= lastDecision; n++ {
		fmt.Fprintf(&page, "D%d is said; ", n)
	}
	page.WriteString("\n## Next\n")
	fsys[decisionsPage] = &fstest.MapFile{Data: []byte(page.String())}
	got := strings.Join(decisions(fsys), "\n")
	for _, want := range []string{"D2 is missing", "D29 is both", "there is no decision D99", "D4 has no test", "D30 has no test"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not found in\n%s", want, got)
		}
	}
	for _, wrong := range []string{"D1 ", "D3 ", "D22 ", "D31 "} {
		if strings.Contains(got, wrong) {
			t.Errorf("%q is wrong in\n%s", wrong, got)
		}
	}
}
