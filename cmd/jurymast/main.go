// Command jurymast is the one binary: a node (`serve`), the operator's verbs that talk to a node, and the stand-ins to
// try it with (`lab`). It holds flags, verbs, output and exit codes and nothing else: what a verb does lives in
// internal. It asks no question unless a person sits at the terminal.
//
//	0 done   1 finding or failed check   2 usage or configuration   3 cannot reach the node   4 refused by a guard
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Set at build time by -ldflags "-X main.version=... -X main.commit=...".
var (
	version = "unknown"
	commit  = "unknown"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	code := run(ctx, newCLI(), os.Args[1:])
	stop()
	os.Exit(code)
}

// run carries out one command line and returns its exit code; the error, if any, is already printed.
func run(ctx context.Context, c *cli, args []string) int {
	root := newRoot(c)
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.errOut)
	verb, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	err = unknownVerb(verb, err)
	text := strings.TrimPrefix(err.Error(), "jurymast")
	if text = strings.TrimLeft(text, ": "); text != "" {
		fmt.Fprintf(c.errOut, "jurymast: %s\n", text)
	}
	return exitCode(err)
}
