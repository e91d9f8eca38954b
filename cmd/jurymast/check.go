package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

const checkHelp = `Judges a configuration without starting it: every mistake at once, one line each, as FILE:LINE:COLUMN: PATH: MESSAGE.
Lines that are no errors say warning or info.

Exit codes: 0 fine, 1 warnings, 2 errors.`

func newCheck(c *cli) *cobra.Command {
	var file string
	var live bool
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Judge a configuration without starting it",
		Long:  checkHelp,
		Args:  arguments(),
	}
	fileFlag(cmd, &file, "config", "c", "configuration file")
	cmd.Flags().BoolVar(&live, "live", false, "also try every endpoint from here (not yet)")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if live {
			return usagef("not yet: check --live; meanwhile: jurymast check -c FILE judges the file, and jurymast probe PROFILE ENDPOINT tries one endpoint from a running node")
		}
		if err := required(cmd, "config"); err != nil {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return usagef("%w; give an existing configuration file with -c", err)
		}
		j := judge(file, text)
		if err := c.print(*output, j, j.write); err != nil {
			return err
		}
		return j.exit()
	}
	return cmd
}

// judgement is what `check` says about one file.
type judgement struct {
	OK       bool      `json:"ok"` // no errors; warnings may be there
	Profiles int       `json:"profiles"`
	Zones    int       `json:"zones"`
	Findings []finding `json:"findings"`
}

// finding is one problem in the words of the JSON output.
type finding struct {
	Severity string `json:"severity"` // error, warning, info
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Path     string `json:"path,omitempty"`
	Message  string `json:"message"`

	line string
}

func judge(name string, text []byte) judgement {
	var j judgement
	f, err := profile.DecodeFile(name, text)
	if err == nil {
		err = f.InlineZoneFiles(beside(name))
	}
	if err != nil {
		j.add(name, err)
		return j
	}
	j.Profiles, j.Zones = len(f.Profiles), len(f.Zones)
	if problems := profile.NotYet(f); len(problems) > 0 {
		j.add(name, problems)
	}
	j.answers(name, f)
	if problems := profile.Warnings(f); len(problems) > 0 {
		j.add(name, problems)
	}
	j.OK = j.count("error") == 0
	return j
}

// beside reads zone files; relative names are relative to the configuration file.
func beside(name string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(name), path)
		}
		return os.ReadFile(path)
	}
}

// answers lets the nameserver compile what it would answer: records are its language, not the file's.
func (j *judgement) answers(name string, f *profile.File) {
	docs := &snapshot.Documents{}
	for i := range f.Profiles {
		docs.Profiles = append(docs.Profiles, &f.Profiles[i])
	}
	for i := range f.Zones {
		docs.Zones = append(docs.Zones, &f.Zones[i])
	}
	warnings, err := nameserver.Warnings(docs)
	if err != nil {
		j.add(name, err)
	}
	for _, w := range warnings {
		if strings.HasPrefix(w, "profile ") {
			continue // host names outside every zone: profile.Warnings says so too, and where
		}
		j.add(name, profile.Problems{{File: name, Line: 1, Column: 1, Path: "zones", Message: w, Severity: profile.SeverityWarning}})
	}
}

func (j *judgement) add(name string, err error) {
	var problems profile.Problems
	if !errors.As(err, &problems) {
		problems = profile.Problems{{File: name, Line: 1, Column: 1, Message: err.Error()}}
	}
	for _, p := range problems {
		j.Findings = append(j.Findings, finding{
			Severity: p.Severity.String(), File: p.File, Line: p.Line, Column: p.Column, Path: p.Path, Message: p.Message, line: p.String(),
		})
	}
}

func (j *judgement) count(severity string) int {
	n := 0
	for _, f := range j.Findings {
		if f.Severity == severity {
			n++
		}
	}
	return n
}

func (j *judgement) write(p *printer) {
	for _, f := range j.Findings {
		p.printf("%s\n", f.line)
	}
	errs, warnings := j.count("error"), j.count("warning")
	if errs > 0 {
		text := count(errs, "error")
		if warnings > 0 {
			text += ", " + count(warnings, "warning")
		}
		p.paint(red, "refused: "+text)
		p.printf("\n")
		return
	}
	text := fmt.Sprintf("ok: %s, %s", count(j.Profiles, "profile"), count(j.Zones, "zone"))
	shade := green
	if warnings > 0 {
		text, shade = text+"; "+count(warnings, "warning"), yellow
	}
	p.paint(shade, text)
	p.printf("\n")
}

func (j *judgement) exit() error {
	switch {
	case !j.OK:
		return silently(exitUsage)
	case j.count("warning") > 0:
		return silently(exitFinding)
	}
	return nil
}
