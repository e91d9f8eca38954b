package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/profile"
)

// tsigEvery is how often the secrets of TSIG keys are read anew, whether or not something says that they changed.
const tsigEvery = 30 * time.Second

// maxSecretFile bounds what is read of a file with a secret, in bytes.
const maxSecretFile = 4 << 10

// keepTSIG gives the nameserver the keys of the documents in force with the secrets this node finds, until ctx ends.
func (a *App) keepTSIG(ctx context.Context) {
	tick := time.NewTicker(tsigEvery)
	defer tick.Stop()
	docs := a.hub.Load().Documents()
	for {
		snap := a.hub.Load()
		if now := snap.Documents(); now != docs {
			docs = now
			a.readTSIG()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.readTSIG()
		case <-snap.Replaced():
		}
	}
}

// readTSIG reads the secrets. A key whose secret cannot be read is as if it were not there: questions signed with it get
// BADKEY, and the operator is told.
func (a *App) readTSIG() {
	var keys []*tsig.Key
	var missing []string
	for _, doc := range a.hub.Load().Documents().TSIG {
		k, err := readKey(doc)
		if err != nil {
			missing = append(missing, fmt.Sprintf("TSIG key %s: %v", doc.Name, err))
			continue
		}
		keys = append(keys, k)
	}
	a.dns.UseTSIG(tsig.NewRing(keys...))
	text := strings.Join(missing, "; ")
	if text != "" && text != a.tsig {
		a.log.Error("a TSIG key cannot be used", "error", text)
	}
	a.tsig = text
	a.alarms.set("tsig", text)
}

// CheckTSIGKey says why this machine cannot use a key, and whether its file or its env is at fault.
func CheckTSIGKey(doc *profile.TSIG) (at string, err error) {
	if at = "file"; doc.Secret.Env != "" {
		at = "env"
	}
	_, err = readKey(doc)
	return at, err
}

// readKey makes a key with the secret this node finds. Errors never repeat what was read.
func readKey(doc *profile.TSIG) (*tsig.Key, error) {
	text, err := readSecret(doc.Secret)
	if err != nil {
		return nil, err
	}
	k, err := tsig.NewKey(doc.Name, string(doc.Algorithm), text)
	if err != nil {
		from := doc.Secret.File
		if from == "" {
			from = "the environment variable " + doc.Secret.Env
		}
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return k, nil
}

func readSecret(src profile.SecretSource) (string, error) {
	if src.Env != "" {
		if text, ok := os.LookupEnv(src.Env); ok {
			return text, nil
		}
		return "", fmt.Errorf("the environment variable %s is not set", src.Env)
	}
	info, err := os.Stat(src.File)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Size() > maxSecretFile:
		return "", fmt.Errorf("%s is no file with one secret", src.File)
	case info.Mode().Perm()&0o007 != 0:
		return "", fmt.Errorf("%s has mode %04o, so everybody on this machine may use it; do: chmod o= %[1]s", src.File, info.Mode().Perm())
	}
	text, err := os.ReadFile(src.File)
	if err != nil {
		return "", errors.New("it cannot be read: check the owner and mode of " + src.File)
	}
	return string(text), nil
}
