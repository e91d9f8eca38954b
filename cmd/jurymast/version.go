package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what `version` prints.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Built    string `json:"built,omitempty"` // the commit's time, as the Go toolchain recorded it
	Modified bool   `json:"modified,omitempty"`
}

func newVersion(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print version, commit, Go and build",
		Args:  arguments(),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		b := thisBuild()
		return c.print(*output, b, func(p *printer) {
			p.printf("jurymast %s\n", b.Version)
			rows := [][]cell{plain("commit", b.Commit), plain("go", b.Go), plain("platform", b.Platform)}
			if b.Built != "" {
				rows = append(rows, plain("built", b.Built))
			}
			p.table("  ", rows)
		})
	}
	return cmd
}

func thisBuild() build {
	b := build{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			if b.Commit == "unknown" {
				b.Commit = s.Value
			}
		case "vcs.time":
			b.Built = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
