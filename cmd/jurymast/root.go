package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const rootHelp = `Jurymast keeps a service reachable when its primary site fails: an authoritative DNS traffic manager and an HTTP
failover proxy act on one health verdict, and all nodes agree on which endpoint is active.

Verbs that talk to a node find it by --api or JURYMAST_API.

Exit codes: 0 done, 1 finding or failed check, 2 usage or configuration, 3 cannot reach the node, 4 refused by a guard.`

// newRoot builds the whole command line around c.
func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:           "jurymast",
		Short:         "DNS traffic manager and HTTP failover proxy on one health verdict",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&c.api, "api", "", "the node's API: http://HOST:PORT or unix:///PATH (JURYMAST_API; default "+defaultAPI+")")
	root.PersistentFlags().StringVar(&c.token, "token", "", "bearer token for the API (JURYMAST_TOKEN)")
	root.SetFlagErrorFunc(flagError)
	root.Version = version // adds --version and -v
	root.SetVersionTemplate("jurymast {{.Version}}\n")
	root.SetHelpCommand(newHelp(root))
	root.AddGroup(
		&cobra.Group{ID: groupNode, Title: "Run a node:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupAct, Title: "Act:"},
		&cobra.Group{ID: groupTry, Title: "Try it out:"},
	)
	add(root, groupNode, newServe(c), newCheck(c), newApply(c), newGet(c), newDelete(c))
	add(root, groupLook, newStatus(c), newExplain(c), newTrace(c), newProbe(c), newOrders(c), newDNS(c), newEvents(c), newAudit(c), newZone(c), newSeal(c))
	add(root, groupAct, newEndpoint(c), newProfile(c), newOrder(c), newGate(c), newFailback(c), newSignal(c))
	add(root, groupTry, newLab(c))
	root.AddCommand(newVersion(c), newMan(root), newDemo(c))
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Args, completion.RunE = cobra.ArbitraryArgs, noVerb // else a wrong shell is answered with help and success
	}
	return root
}

// newHelp is `help VERB`; a word that is no verb is a usage error here as everywhere.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "Help about any verb",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if verb, _, err := root.Find(args); err == nil {
				for _, v := range verb.Commands() {
					if v.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(v.Name(), v.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			verb, rest, err := root.Find(args)
			switch {
			case err != nil && len(args) > 0:
				return wrongVerb(root, args[0])
			case err != nil:
				return err
			case len(rest) > 0 && verb.HasSubCommands():
				return wrongVerb(verb, rest[0])
			case len(rest) > 0:
				return usagef("help: %q is one argument too many; %s has no verbs of its own", rest[0], verb.CommandPath())
			}
			verb.InitDefaultHelpFlag() // else it is missing in what is printed
			return verb.Help()
		},
	}
}

const (
	groupNode = "node"
	groupLook = "look"
	groupAct  = "act"
	groupTry  = "try"
)

func add(root *cobra.Command, group string, verbs ...*cobra.Command) {
	for _, v := range verbs {
		v.GroupID = group
		root.AddCommand(v)
	}
}

// newGroup is a verb that only holds others: alone, or with a word it does not know, it is a usage error.
func newGroup(use, short string, verbs ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:                use + " VERB",
		Short:              short,
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true}, // the unknown word is the better complaint
		Args:               cobra.ArbitraryArgs,
		RunE:               noVerb,
	}
	group.AddCommand(verbs...)
	return group
}

// noVerb is what a group does by itself: it complains.
func noVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("%s: a verb is missing; allowed: %s", cmd.CommandPath(), verbNames(cmd))
	}
	return wrongVerb(cmd, args[0])
}

func verbNames(cmd *cobra.Command) string {
	var names []string
	for _, v := range cmd.Commands() {
		if v.IsAvailableCommand() {
			names = append(names, v.Name())
		}
	}
	return strings.Join(names, ", ")
}

// planned are the verbs that are promised and not there yet, with what serves meanwhile.
var planned = map[string]string{
	"switchover":    "jurymast endpoint drain PROFILE ENDPOINT, or endpoint force down, moves a profile away; jurymast failback PROFILE returns",
	"drill":         "rehearse with jurymast lab tenant: POST /lab/fault breaks it, jurymast events --follow shows what happens",
	"session":       "failback: {mode: manual} keeps a living instance from losing its users",
	"domain":        "write certificates under node.proxy.tls.certificates",
	"import":        "write the profile by hand and judge it with jurymast check -c FILE",
	"lab connector": "jurymast lab tenant",
	"lab sender":    "send with curl in a loop",
}

// wrongVerb is the error for a word that is no verb of cmd: not yet there, or unknown with what is near.
func wrongVerb(cmd *cobra.Command, word string) error {
	path := strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()) + " " + word)
	if meanwhile, ok := planned[path]; ok {
		return usagef("not yet: %s; meanwhile: %s", path, meanwhile)
	}
	text := fmt.Sprintf("unknown verb %q", path)
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	} else {
		text += ";"
	}
	return usagef("%s allowed: %s", text, verbNames(cmd))
}

// unknownVerb rewrites what cobra says about a word that is no verb of cmd; any other error stays as it is.
func unknownVerb(cmd *cobra.Command, err error) error {
	rest, ok := strings.CutPrefix(err.Error(), "unknown command ")
	if !ok {
		return err
	}
	quoted, qerr := strconv.QuotedPrefix(rest)
	word, uerr := strconv.Unquote(quoted)
	if errors.Join(qerr, uerr) != nil {
		return err
	}
	return wrongVerb(cmd, word)
}

// flagError names the verb, the flag, what is wrong with it and the nearest flag there is. A credential is not repeated.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	text := err.Error()
	if value, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		text = flagName(value.GetFlag())
		if _, secret := value.GetFlag().Value.(*credentials); !secret {
			text += fmt.Sprintf(" %q", value.GetValue())
		}
		text += ": " + valueFault(value)
	}
	if name, ok := strings.CutPrefix(text, "unknown flag: --"); ok {
		if near := nearFlags(cmd, name); len(near) > 0 {
			text += "; did you mean " + strings.Join(near, " or ") + "?"
		}
	}
	return usagef("%s: %s (see %s --help)", cmd.CommandPath(), text, cmd.CommandPath())
}

// valueFault says what a flag takes, in our words where the parser would show its own.
func valueFault(value *pflag.InvalidValueError) string {
	err := value.Unwrap()
	number, ok := errors.AsType[*strconv.NumError](err)
	if !ok {
		return err.Error()
	}
	f := value.GetFlag()
	usage := strings.ReplaceAll(f.Usage, "`", "")
	switch kind := f.Value.Type(); {
	case kind == "bool":
		return "allowed: true, false"
	case errors.Is(number, strconv.ErrRange):
		return "the number is too large (" + usage + ")"
	case strings.HasPrefix(kind, "float"):
		return "not a number (" + usage + ")"
	}
	return "not a whole number (" + usage + ")"
}

func nearFlags(cmd *cobra.Command, name string) []string {
	judge := &cobra.Command{Use: "judge", SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			judge.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	near := judge.SuggestionsFor(name)
	for i := range near {
		near[i] = "--" + near[i]
	}
	return near
}

// arguments demands exactly the named arguments, optional ones in brackets, and says which one is missing.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return usagef("%s: %q is one argument too many; usage: %s", cmd.CommandPath(), args[len(names)], cmd.UseLine())
		}
		for i, name := range names {
			if strings.HasPrefix(name, "[") {
				break
			}
			if i >= len(args) || args[i] == "" {
				return usagef("%s: %s is missing; usage: %s", cmd.CommandPath(), name, cmd.UseLine())
			}
		}
		return nil
	}
}
