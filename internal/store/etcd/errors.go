package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"jurymast/internal/store"
)

// ErrDir is why Open refused a data directory; nothing in it was changed and trying again does not help.
var ErrDir = errors.New("data directory refused")

// errDied is the answer of a call whose goroutine was ended by etcd.
var errDied = errors.New("the embedded etcd has stopped")

// mapErr gives an error of etcd the contract's name and keeps the cause. ctx is the caller's.
func mapErr(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return err
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return fmt.Errorf("%w: %w", store.ErrLeaseLost, err)
	case errors.Is(err, rpctypes.ErrCompacted):
		return fmt.Errorf("%w: %w", store.ErrCompacted, err)
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		return fmt.Errorf("%w: %w", store.ErrTooLarge, err)
	case errors.Is(err, rpctypes.ErrDuplicateKey), errors.Is(err, rpctypes.ErrEmptyKey), errors.Is(err, rpctypes.ErrLeaseTTLTooLarge):
		return fmt.Errorf("%w: %w", store.ErrInvalid, err)
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: the database has reached its quota; an embedded one makes room by itself, an external one has to be compacted, defragmented and its alarm disarmed; if that does not help, delete documents that are not needed: %w", store.ErrUnavailable, err)
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err() // the caller's own doing is nobody's outage
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}
