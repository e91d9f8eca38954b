package nameserver_test

import (
	"testing"

	"jurymast/internal/nameserver"
)

func optionsOf(t testing.TB) nameserver.Options { return nameserver.Options{Locator: maps(t)} }
