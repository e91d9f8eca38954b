package app

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"jurymast/internal/cluster"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
	"jurymast/internal/store/lastgood"
)

// A mistake in what all nodes share must not cost more at a start than at a reload: a node whose own section is right
// serves the documents it has stored, and says that the file is refused until a good one takes its place.

// sharedSections are the keys of a file in which a mistake does not concern the node itself.
var sharedSections = []string{"zones", "profiles", "safety", "tsig", "defaults"}

// soundNode is a file with the node section alone of one that is refused; nil when the mistake may concern that section.
func soundNode(path string) *profile.File {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	f, err := profile.Inspect(path, text)
	if f == nil {
		return nil
	}
	var found profile.Problems
	if err != nil && !errors.As(err, &found) {
		return nil
	}
	for _, p := range slices.Concat(found, profile.NotYet(f), nameserver.Problems(f)) {
		section := p.Path[:len(p.Path)-len(strings.TrimLeft(p.Path, "abcdefghijklmnopqrstuvwxyz"))]
		if p.Severity == profile.SeverityError && !slices.Contains(sharedSections, section) {
			return nil
		}
	}
	return &profile.File{Node: f.Node}
}

// usedData reports that a node has run on this folder; nothing is made or locked.
func usedData(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "last-good")) //nolint:gosec // the operator's own file names it
	return err == nil
}

// storedSet are the documents an earlier life served last; damaged records are left out.
func (a *App) storedSet() cluster.DocumentSet {
	return documentsIn(lastgood.Read(a.data.path("last-good")))
}

// documentsIn are the documents among the records of the last-good log.
func documentsIn(last map[string]json.RawMessage) (set cluster.DocumentSet) {
	for key, val := range last {
		if key == keyGeneration {
			_ = json.Unmarshal(val, &set.Generation) // unreadable: the serial of zones starts low until the store is up
			continue
		}
		var r cluster.Record
		if strings.HasPrefix(key, "doc/") && json.Unmarshal(val, &r) == nil {
			set.Records = append(set.Records, r)
		}
	}
	return set
}

// prepareFile prepares the file's documents, by themselves or with the stored ones, some of which they may need.
func (a *App) prepareFile(stored cluster.DocumentSet) error {
	mine := a.recordsOf(a.file)
	_, err := a.library.prepare(cluster.DocumentSet{Records: mine})
	if err == nil || len(stored.Records) == 0 {
		return err
	}
	_, err = a.library.prepare(cluster.DocumentSet{Records: withFile(stored, mine, a.owner())})
	return err
}

// useStored makes the node start with the stored documents although the file is refused, unless they are of no use.
func (a *App) useStored(stored cluster.DocumentSet, wrong error) error {
	if _, err := a.library.prepare(stored); err != nil {
		a.log.Warn("the stored documents are not usable either", "error", err)
		return wrong
	}
	a.stored, a.file = true, &profile.File{Node: a.file.Node}
	a.log.Warn("starting with the stored documents, because the file is refused", "file", a.o.File, "documents", len(stored.Records), "generation", stored.Generation)
	a.refused(wrong)
	return nil
}
