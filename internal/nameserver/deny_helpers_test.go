package nameserver_test

import (
	"os"
	"strconv"
	"testing"

	"jurymast/internal/nameserver"
)

// manyVar asks for as many questions as the suites are meant for; the ordinary tests ask fewer.
const manyVar = "JURYMAST_MANY"

func manyTimes(few, many int) int {
	if on, err := strconv.ParseBool(os.Getenv(manyVar)); err == nil && on {
		return many
	}
	return few
}

func optionsOf(t testing.TB) nameserver.Options { return nameserver.Options{Locator: maps(t)} }
