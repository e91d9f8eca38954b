package cluster

import (
	"fmt"
	"strings"
	"time"

	"jurymast/internal/profile"
)

// Format is the version of the key layout. Another one found in the store is refused and not touched.
const Format = 1

const root = "/jurymast/v1/"

const (
	keyMeta     = root + "meta"
	keyCurrent  = root + "docs/current"
	keyLeader   = root + "leader"
	inDocs      = root + "docs/"
	inByHash    = inDocs + "by-hash/"
	keyIntents  = root + "intents"
	inIntent    = root + "intent/"
	inSignals   = root + "signals/"
	inNodes     = root + "nodes/"
	inVotes     = root + "votes/"
	inDecisions = root + "decisions/"
	inAcks      = root + "acks/"
	inAsks      = root + "asks/"
	inJournal   = root + "journal/"
	keySeal     = root + "seal" // which key seals; what is sealed is below sealed/
	inSealed    = root + "sealed/"
	inSerials   = root + "serials/" // of zones that are transferred
	keyRollAsk  = root + "asked/cookies-roll"
)

func keyNode(node string) string                { return inNodes + node }
func keyVotes(node, profile string) string      { return inVotes + node + "/" + profile }
func keyDecision(profile string) string         { return inDecisions + profile }
func keyIntent(id string) string                { return inIntent + id }
func keySignal(profile, endpoint string) string { return inSignals + profile + "/" + endpoint }
func keyAck(profile, node string) string        { return inAcks + profile + "/" + node }
func keyAsk(profile, endpoint string) string    { return inAsks + profile + "/" + endpoint }

func keySealed(name string) string { return inSealed + name }

// keyDocument is where one content of a document is kept. It is named by its hash, so it never changes, and generations
// that have it in common share it.
func keyDocument(kind profile.Kind, name, hash string) string {
	return inByHash + string(kind) + "/" + name + "/" + hash
}

// keyIndex is the folder one attempt to make a generation writes its index to. Two writers who make the same generation
// must not write into each other's folder, so the folder has the writer's name and a count as well.
func keyIndex(gen uint64, node string, attempt uint64) string {
	return fmt.Sprintf("%s%016d-%s-%d/", inDocs, gen, node, attempt)
}

func keyChunk(index string, n int) string { return fmt.Sprintf("%s%04d", index, n) }

// entryID sorts by time; node and sequence make it unique.
func entryID(at time.Time, seq uint32, node string) string {
	return fmt.Sprintf("%020d-%06d-%s", at.UnixNano(), seq%1_000_000, node)
}

// rest returns what follows prefix.
func rest(key, prefix string) (string, bool) { return strings.CutPrefix(key, prefix) }
