//go:build !race

package app_test

import "time"

// slack is added to bounds that depend on how fast this machine is.
const slack = 0 * time.Second
