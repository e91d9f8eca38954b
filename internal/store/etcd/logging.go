package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newZap makes the logger etcd gets: warnings and worse go to slog, nothing goes to stderr. With h, a Fatal or
// Panic marks the store as failed and ends the goroutine that said it; without, it only ends the goroutine.
// It never ends the process.
func newZap(to *slog.Logger, h *health) *zap.Logger {
	hook := &lastWords{h: h}
	return zap.New(&bridge{to: to}, zap.WithFatalHook(hook), zap.WithPanicHook(hook))
}

// bridge is a zap core that writes to slog.
type bridge struct {
	to     *slog.Logger
	fields []zapcore.Field
}

func (b *bridge) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	return &bridge{to: b.to, fields: append(slices.Clip(b.fields), fields...)}
}

func (b *bridge) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return ce.AddCore(e, b)
	}
	return ce
}

func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelWarn
	if e.Level >= zapcore.ErrorLevel {
		level = slog.LevelError
	}
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(slices.Clip(b.fields), fields...) {
		f.AddTo(enc)
	}
	attrs := make([]slog.Attr, 0, len(enc.Fields)+1)
	attrs = append(attrs, slog.String("said", e.Message))
	for k, v := range enc.Fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	b.to.LogAttrs(context.Background(), level, "etcd", attrs...)
	return nil
}

func (b *bridge) Sync() error { return nil }

// lastWords is what happens instead of os.Exit and panic.
type lastWords struct{ h *health }

// OnWrite ends the goroutine: it must not go on, for etcd's code relies on never coming back from here. The one
// exception is the end of a server that has failed already: there the raft node only has to say that it is done.
func (w *lastWords) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	if w.h != nil {
		why := ce.Message
		for _, f := range fields {
			if f.Type == zapcore.ErrorType {
				why = fmt.Sprintf("%s: %v", why, f.Interface)
			}
		}
		w.h.fail(why)
	}
	if ce.Message == "failed to close Raft storage" {
		return
	}
	runtime.Goexit()
}

// health remembers why the embedded server died.
type health struct {
	log    *slog.Logger
	failed chan struct{}
	once   sync.Once
	why    error
}

func newHealth(log *slog.Logger) *health {
	return &health{log: log, failed: make(chan struct{})}
}

func (h *health) fail(why string) {
	h.once.Do(func() {
		h.why = errors.New("the embedded etcd has failed: " + why)
		close(h.failed)
		h.log.Error("store failed", slog.String("cause", why))
	})
}

func (h *health) cause() error {
	select {
	case <-h.failed:
		return h.why
	default:
		return nil
	}
}
