package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api/client"
	"jurymast/internal/profile"
)

const (
	namesPatience = 3 * time.Second // how long an error waits for the names there are
	maxNames      = 20              // how many of them it lists
)

// missing is failure for a verb that named a profile and perhaps an endpoint: when there is no such thing it adds
// what is near and what there is.
func (c *cli) missing(ctx context.Context, node *client.Client, err error, names ...string) error {
	return c.suggest(err, func() string {
		ctx, cancel := context.WithTimeout(ctx, namesPatience)
		defer cancel()
		list, err := node.Statuses(ctx)
		if err != nil {
			return ""
		}
		profiles := make([]string, len(list))
		for i := range list {
			if profiles[i] = list[i].Name; !strings.EqualFold(profiles[i], names[0]) || len(names) < 2 {
				continue
			}
			endpoints := make([]string, len(list[i].Endpoints))
			for j := range endpoints {
				endpoints[j] = list[i].Endpoints[j].Name
			}
			return choices(names[1], "endpoints of "+profiles[i], endpoints)
		}
		return choices(names[0], "profiles", profiles)
	})
}

// missingDocument is failure for a verb that named a document.
func (c *cli) missingDocument(ctx context.Context, node *client.Client, err error, kind profile.Kind, name string) error {
	return c.suggest(err, func() string {
		ctx, cancel := context.WithTimeout(ctx, namesPatience)
		defer cancel()
		list, err := node.Documents(ctx, kind)
		if err != nil {
			return ""
		}
		names := make([]string, len(list))
		for i := range list {
			names[i] = list[i].Name
		}
		return choices(name, string(kind), names)
	})
}

// suggest is failure with more to say when something is not there.
func (c *cli) suggest(err error, more func() string) error {
	if _, gone := errors.AsType[*client.NotFoundError](err); !gone {
		return c.failure(err)
	}
	return &exitError{exitUsage, errors.New(clean(err.Error() + more()))}
}

// choices words the end of an error about a name that is not there. A name that is there is not what the error is
// about.
func choices(name, what string, names []string) string {
	switch {
	case len(names) == 0:
		return "; there are no " + what
	case slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }):
		return ""
	}
	text := ";"
	if near := nearest(name, names); len(near) > 0 {
		text += fmt.Sprintf(" did you mean %s?", strings.Join(near, " or "))
	}
	list, rest := names, ""
	if len(names) > maxNames {
		list, rest = names[:maxNames], fmt.Sprintf(" and %d more", len(names)-maxNames)
	}
	return text + " " + what + ": " + strings.Join(list, ", ") + rest
}

// nearest are the quoted names that somebody may have meant, by cobra's rule for verbs: two slips at most, or the
// beginning of the name, whatever the case.
func nearest(name string, names []string) []string {
	var near []string
	for _, n := range names {
		judge := &cobra.Command{Use: "judge", SuggestionsMinimumDistance: 2}
		judge.AddCommand(&cobra.Command{Use: strings.ReplaceAll(n, " ", "_"), Run: func(*cobra.Command, []string) {}})
		if len(judge.SuggestionsFor(strings.ReplaceAll(name, " ", "_"))) > 0 && len(near) < 3 {
			near = append(near, fmt.Sprintf("%q", n))
		}
	}
	return near
}
