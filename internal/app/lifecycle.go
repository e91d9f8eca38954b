package app

import (
	"context"
	"log/slog"
	"time"
)

// undo is a named step that takes back something that was started.
type undo struct {
	name string
	wait time.Duration
	do   func(ctx context.Context) error
}

// undoList runs last in, first out, each step bounded by its own time. A step that fails or hangs is logged and
// the next one runs all the same.
type undoList struct {
	log   *slog.Logger
	steps []undo
}

func (l *undoList) add(name string, wait time.Duration, do func(ctx context.Context) error) {
	l.steps = append(l.steps, undo{name, wait, do})
}

func (l *undoList) run() {
	for len(l.steps) > 0 {
		u := l.steps[len(l.steps)-1]
		l.steps = l.steps[:len(l.steps)-1]
		ctx, cancel := context.WithTimeout(context.Background(), u.wait)
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- u.do(ctx) }()
		select {
		case err := <-ended:
			if err != nil {
				l.log.Warn("stopping a part failed", "part", u.name, "error", err)
			}
		case <-ctx.Done():
			l.log.Warn("stopping a part took too long, going on", "part", u.name, "after", time.Since(began))
		}
		cancel()
	}
}
