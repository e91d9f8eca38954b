package app

import (
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

// streamLimits translates the file's words.
func streamLimits(l *profile.StreamLimits) nameserver.TCP {
	return nameserver.TCP{
		Connections: l.Connections, PerPrefix: l.PerPrefix, InFlight: l.InFlight, First: l.FirstQuestion, Idle: l.Idle, IdleMin: l.IdleMin,
	}
}
