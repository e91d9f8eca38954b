package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// defaultAPI is where a node's API listens unless its file says otherwise.
const defaultAPI = "http://127.0.0.1:9460"

// cli is what all verbs share: the streams, the environment, the clock and the global flags.
type cli struct {
	in          io.Reader
	out, errOut io.Writer
	getenv      func(string) string
	now         func() time.Time

	api, token string
}

func newCLI() *cli {
	return &cli{in: os.Stdin, out: os.Stdout, errOut: os.Stderr, getenv: os.Getenv, now: time.Now}
}

// apiURL is the node to talk to: --api, else JURYMAST_API, else the default.
func (c *cli) apiURL() string { return firstOf(c.api, c.getenv("JURYMAST_API"), defaultAPI) }

// bearer is the token to send: --token, else JURYMAST_TOKEN, else none.
func (c *cli) bearer() string { return firstOf(c.token, c.getenv("JURYMAST_TOKEN")) }

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// colours tells whether standard output may be coloured: a terminal, and nobody objects (https://no-color.org).
func (c *cli) colours() bool {
	return c.getenv("NO_COLOR") == "" && c.getenv("TERM") != "dumb" && isTerminal(c.out)
}

// isTerminal tells whether a stream has a person at its other end: only terminals have a window size.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// confirmFlag adds --yes.
func confirmFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask; without a terminal nothing is ever asked")
}

// confirm asks before something that hurts, on a terminal only.
func (c *cli) confirm(yes bool, format string, args ...any) error {
	if yes || !isTerminal(c.in) {
		return nil
	}
	fmt.Fprintf(c.errOut, format+" [y/N] ", args...)
	answer, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil && answer == "" {
		fmt.Fprintln(c.errOut)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &exitError{exitRefused, fmt.Errorf("not confirmed; nothing was changed (answer y, or give --yes)")}
}
