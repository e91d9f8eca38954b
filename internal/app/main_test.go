//go:build linux

package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"jurymast/internal/app"
	"jurymast/internal/lab"
)

// The tests run whole processes, so that kill -9, SIGSTOP and resource limits are real: this test binary is started
// again with a role, its arguments in os.Args.
const roleVar = "JURYMAST_APP_TEST_ROLE"

func TestMain(m *testing.M) {
	roles := map[string]func([]string) error{"node": node, "tenant": tenant}
	role, ok := roles[os.Getenv(roleVar)]
	if !ok {
		code := m.Run()
		removeRunDir()
		os.Exit(code)
	}
	if err := role(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
}

// node serves the file named by the first argument, as jurymast serve does.
func node(args []string) error {
	signal.Ignore(syscall.SIGXFSZ)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	hangups, reload := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			select {
			case reload <- struct{}{}:
			default:
			}
		}
	}()
	return app.Run(ctx, app.Options{
		File: args[0], Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Out: os.Stdout, Version: "test", Reload: reload, Cookies: cookieRules(),
		ClockOffset: durationOf(offsetVar), AskParent: durationOf(askParentVar),
	})
}

// tenant is a stand-in at the address and of the region in the first two arguments; the third, when given, is the
// credential it demands.
func tenant(args []string) error {
	o := lab.TenantOptions{Listen: args[0], Control: lab.ControlOff, Region: args[1], StopGrace: time.Second}
	if len(args) > 2 {
		if err := o.AddAuth(args[2]); err != nil {
			return err
		}
	}
	t, err := lab.NewTenant(o)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := t.Start(ctx); err != nil {
		return err
	}
	<-t.Done()
	return nil
}
