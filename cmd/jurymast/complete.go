package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
	"jurymast/internal/profile"
)

// completionPatience is how long a shell waits for a node before it completes nothing.
const completionPatience = 300 * time.Millisecond

// known asks the node for its profiles; whoever does not answer in time has none.
func (c *cli) known(cmd *cobra.Command) []api.ProfileStatus {
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completionPatience)
	defer cancel()
	node, err := c.node()
	if err != nil {
		return nil
	}
	list, err := node.Statuses(ctx)
	if err != nil {
		return nil
	}
	return list
}

// completeProfile completes the first argument, or the value of a flag, with the names of profiles.
func (c *cli) completeProfile(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if len(args) == 0 {
		for _, p := range c.known(cmd) {
			names = append(names, cobra.CompletionWithDesc(clean(p.Name), clean(p.MonitorStatus)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeEndpoint completes PROFILE ENDPOINT.
func (c *cli) completeEndpoint(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return c.completeProfile(cmd, args, word)
	}
	var names []cobra.Completion
	for _, p := range c.known(cmd) {
		if !strings.EqualFold(p.Name, args[0]) {
			continue
		}
		for i := range p.Endpoints {
			names = append(names, cobra.CompletionWithDesc(clean(p.Endpoints[i].Name), clean(p.Endpoints[i].MonitorStatus)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeHostname completes a name that a profile answers.
func (c *cli) completeHostname(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if len(args) == 0 {
		for _, p := range c.known(cmd) {
			for _, h := range p.Hostnames {
				names = append(names, cobra.CompletionWithDesc(clean(h), "profile "+clean(p.Name)))
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeDocument completes KIND NAME.
func (c *cli) completeDocument(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	switch {
	case len(args) == 0:
		return kinds, cobra.ShellCompDirectiveNoFileComp
	case len(args) == 1 && args[0] == string(profile.KindProfile):
		return c.completeProfile(cmd, nil, word)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// zoneNames completes the first argument with the names of zones.
func (c *cli) zoneNames(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completionPatience)
	defer cancel()
	if node, err := c.node(); err == nil {
		if zones, err := node.Zones(ctx); err == nil {
			for i := range *zones {
				names = append(names, clean((*zones)[i].Name))
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
