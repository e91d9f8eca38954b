package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write generated documents and script goldens anew")

// TestReferenceIsFresh keeps docs/cli.md equal to what the command line says of itself.
func TestReferenceIsFresh(t *testing.T) {
	name := filepath.Join("..", "..", "docs", "cli.md")
	want := reference(newRoot(newCLI()))
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != want {
		t.Errorf("docs/cli.md is stale (%v); write it anew with: go test ./cmd/jurymast -run TestReferenceIsFresh -update", err)
	}
}

// reference is the whole command line as one Markdown page.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Command line\n\nThis page is generated from the program; `jurymast VERB --help` says the same.\n\n")
	b.WriteString(firstOf(root.Long, root.Short) + "\n\n## Flags of all verbs\n")
	flagTable(&b, root.PersistentFlags())
	verbs := visible(root)[1:]
	b.WriteString("\n## Verbs\n| verb | does |\n|---|---|\n")
	for _, v := range verbs {
		if isDocumented(v) {
			fmt.Fprintf(&b, "| `%s` | %s |\n", useLine(v), v.Short)
		}
	}
	b.WriteString("| `jurymast completion bash\\|zsh\\|fish\\|powershell` | Print the completion script of a shell |\n")
	for _, v := range verbs {
		if !isDocumented(v) {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n", v.CommandPath())
		if v.Long == "" {
			b.WriteString(v.Short + ".\n")
		} else {
			b.WriteString(indentExamples(v.Long) + "\n")
		}
		fmt.Fprintf(&b, "```\n%s\n```\n", v.UseLine())
		if v.Example != "" {
			fmt.Fprintf(&b, "```sh\n%s\n```\n", dedent(v.Example))
		}
		flagTable(&b, v.NonInheritedFlags())
	}
	return b.String()
}

// isDocumented: it does something by itself. Groups have a page each in the help, and none here.
func isDocumented(v *cobra.Command) bool {
	return v.Runnable() && (!v.HasSubCommands() || v.Annotations[isVerb] != "") && !isCompletion(v)
}

func isCompletion(v *cobra.Command) bool {
	return strings.HasPrefix(v.CommandPath(), "jurymast completion")
}

func useLine(v *cobra.Command) string {
	return strings.ReplaceAll(strings.TrimSuffix(v.UseLine(), " [flags]"), "|", "\\|")
}

// indentExamples makes lines indented by two a block of code.
func indentExamples(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "  ") {
			lines[i] = "  " + l
		}
	}
	return strings.Join(lines, "\n")
}

func dedent(text string) string {
	return strings.TrimPrefix(strings.ReplaceAll(text, "\n  ", "\n"), "  ")
}

func flagTable(b *strings.Builder, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	b.WriteString("\n| flag | default | meaning |\n|---|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		fallback := ""
		switch f.DefValue {
		case "", "false", "0", "0s", "[]":
		default:
			fallback = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", strings.TrimSpace(flagName(f)+" "+value), fallback, strings.ReplaceAll(usage, "|", "\\|"))
	})
}

// TestEveryVerbExplainsItself: a verb without a sentence, or a flag without a meaning, is not finished.
func TestEveryVerbExplainsItself(t *testing.T) {
	for _, v := range visible(newRoot(newCLI())) {
		if v.Short == "" || strings.HasSuffix(v.Short, ".") {
			t.Errorf("%s: %q is no short description without a full stop", v.CommandPath(), v.Short)
		}
		v.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s: no meaning", v.CommandPath(), f.Name)
			}
		})
	}
}

// TestPlannedVerbsAreNotThere: a verb that exists is not announced as missing.
func TestPlannedVerbsAreNotThere(t *testing.T) {
	for _, v := range visible(newRoot(newCLI())) {
		if why, ok := planned[strings.TrimPrefix(v.CommandPath(), "jurymast ")]; ok {
			t.Errorf("%s exists and is announced as not yet there (%s)", v.CommandPath(), why)
		}
	}
}

// TestExamplesPassCheck: every example is one `check` finds nothing to warn about, once the secrets its README makes are there.
func TestExamplesPassCheck(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	t.Setenv("XFR_SECRET", "bm90IGEgc2VjcmV0LCBhbiBleGFtcGxl")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		j := judge(name, []byte(withCertificate(t, strings.ReplaceAll(string(text), "{file: examples/primary/xfr.key}", "{env: XFR_SECRET}"))))
		if err := j.exit(); err != nil {
			for _, f := range j.Findings {
				t.Error(f.line)
			}
		}
	}
}
