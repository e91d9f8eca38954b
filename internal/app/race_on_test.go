//go:build race

package app_test

import "time"

// slack is larger under the race detector, which is several times slower.
const slack = 2 * time.Second
