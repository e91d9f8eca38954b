package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"jurymast/internal/app"
	"jurymast/internal/nameserver"
	"jurymast/internal/preflight"
	"jurymast/internal/profile"
)

const checkHelp = `Judges a configuration without starting it: every mistake at once, one line each, as FILE:LINE:COLUMN: PATH: MESSAGE.
Lines that are no errors say warning or info; what may only follow from an error waits until that is mended. Files and
variables of the node section that this machine does not have are warnings: serve would refuse the file here.

With --live a file without errors is tried from this machine as well: every endpoint is resolved, connected to, probed and
asked for every host name of its profile (SNI, Host, certificate), every name server is asked, and the failover time, the
cost of probes and single points of failure are computed. Nothing is changed. With --api, or JURYMAST_API, a running node
tells what all nodes see. docs/preflight.md explains every finding.

Exit codes: 0 fine, 1 warnings, 2 errors.`

func newCheck(c *cli) *cobra.Command {
	var file string
	live := liveFlags{rate: preflight.DefaultRate}
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Judge a configuration without starting it",
		Long:  checkHelp,
		Args:  arguments(),
	}
	fileFlag(cmd, &file, "config", "c", "configuration file; - is standard input")
	cmd.Flags().BoolVar(&live.on, "live", false, "also judge what the settings promise, and try every endpoint and name server from here")
	cmd.Flags().IntVar(&live.nodes, "nodes", 0, "`N`: with --live, how many nodes there are; a running node knows better (--api)")
	cmd.Flags().Float64Var(&live.rate, "rate", preflight.DefaultRate, "`N`: with --live, requests per second and profile that the hold has to take")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := required(cmd, "config"); err != nil {
			return err
		}
		if err := live.check(); err != nil {
			return err
		}
		name, text, err := c.readNamed(file)
		if err != nil {
			return usagef("%w; give an existing configuration file with -c, or - for standard input", err)
		}
		j := judge(name, text)
		j.live = live.on
		if live.on && j.OK {
			if j.Preflight, err = c.preflight(cmd.Context(), name, j.file, &live); err != nil {
				return err
			}
		}
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

	Preflight *preflight.Report `json:"preflight,omitempty"` // nil without --live, and when the file has errors

	live bool          // --live was given
	file *profile.File // nil when it does not decode
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
	f, err := profile.Inspect(name, text)
	if err != nil {
		j.add(name, err)
	}
	if f == nil {
		return j
	}
	if err := app.InlineZoneFiles(f, name); err != nil {
		j.add(name, err)
	}
	found := nameserver.Problems(f)
	if len(j.Findings) > 0 {
		j.beside(f, found)
		return j
	}
	j.Profiles, j.Zones = len(f.Profiles), len(f.Zones)
	for _, problems := range []profile.Problems{profile.NotYet(f), found, profile.Warnings(f), onThisMachine(name, f)} {
		if len(problems) > 0 {
			j.add(name, problems)
		}
	}
	j.sort()
	j.OK, j.file = j.count("error") == 0, f
	return j
}

// beside adds what else is true of a file that is refused. What is not carried out yet is, wherever it stands. The rest
// may only follow from a mistake: it is told of profiles without one, and not when the mistake is in what all of them
// lean on.
func (j *judgement) beside(f *profile.File, found profile.Problems) {
	wrong, shared := map[string]bool{}, false
	for _, known := range j.Findings {
		section, _, _ := strings.Cut(known.Path, ".")
		wrong[section], wrong[known.Path] = true, true
		shared = shared || !strings.HasPrefix(section, "profiles[") && !strings.HasPrefix(section, "safety[")
	}
	for i := range f.Profiles {
		shared = shared || f.Profiles[i].Name == "" // others may mean this one
	}
	j.records(f, found)
	for _, p := range profile.NotYet(f) {
		if !wrong[p.Path] {
			j.add(p.File, profile.Problems{p})
		}
	}
	if !shared {
		for _, p := range slices.Concat(found, profile.Warnings(f)) {
			section, _, _ := strings.Cut(p.Path, ".")
			if p.Severity != profile.SeverityInfo && !wrong[section] && !j.says(p) {
				j.add(p.File, profile.Problems{p})
			}
		}
	}
	j.sort()
}

// sort puts the findings in the order of the text.
func (j *judgement) sort() {
	slices.SortStableFunc(j.Findings, func(a, b finding) int {
		if a.File != b.File {
			return 0
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// says reports that a problem is among the findings.
func (j *judgement) says(p profile.Problem) bool {
	return slices.ContainsFunc(j.Findings, func(f finding) bool { return f.line == p.String() })
}

// records adds what the nameserver says about single records of a file that is refused for other reasons.
func (j *judgement) records(f *profile.File, found profile.Problems) {
	named := map[string]bool{}
	for _, known := range j.Findings {
		named[known.Path] = true
	}
	for i := range f.Zones {
		zone := fmt.Sprintf("zones[%d].", i)
		if named[zone+"name"] || named[zone+"records"] || named[zone+"file"] {
			continue
		}
		for _, p := range found {
			whole := f.Problem(profile.SeverityError, "", "zones", i, strings.TrimPrefix(p.Path, zone))
			if (p.Path == zone+"records" || p.Path == zone+"file") && (p.File != whole.File || p.Line != whole.Line) {
				j.add(p.File, profile.Problems{p})
			}
		}
	}
}

// besideName makes a relative name one beside the configuration file.
func besideName(name, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(name), path)
}

// readNamed reads a file, or standard input for -, and says what it is called in messages.
func (c *cli) readNamed(file string) (name string, text []byte, err error) {
	if file == "-" {
		text, err = io.ReadAll(c.in)
		return "stdin", text, err
	}
	text, err = os.ReadFile(file)
	return file, text, err
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
		if j.live {
			p.printf("nothing was tried, because a node would refuse this file; correct it first\n")
		}
		return
	}
	text := fmt.Sprintf("ok: %s, %s", count(j.Profiles, "profile"), count(j.Zones, "zone"))
	shade := green
	if warnings > 0 {
		text, shade = text+"; "+count(warnings, "warning"), yellow
	}
	p.paint(shade, text)
	p.printf("\n")
	if j.Preflight != nil {
		writePreflight(p, j.Preflight)
	}
}

func (j *judgement) exit() error {
	worst := preflight.Info
	if j.Preflight != nil {
		worst = preflight.Worst(j.Preflight.Findings)
	}
	switch {
	case !j.OK || worst == preflight.Error:
		return silently(exitUsage)
	case j.count("warning") > 0 || worst == preflight.Warning:
		return silently(exitFinding)
	}
	return nil
}
