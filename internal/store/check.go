package store

import (
	"fmt"
	"strings"
)

// CheckCommit refuses what no store can apply, so that every implementation refuses it alike and before any
// I/O: ErrTooLarge above MaxOps conditions or operations or MaxBytes of keys and values; ErrInvalid for an empty
// key, a prefix that carries a value, and a key that is put twice or both put and deleted (the order of the
// operations of one commit has no meaning).
func CheckCommit(conds []Cond, ops []Op) error {
	if len(conds) > MaxOps || len(ops) > MaxOps {
		return fmt.Errorf("commit of %d conditions and %d operations, at most %d each: split it: %w",
			len(conds), len(ops), MaxOps, ErrTooLarge)
	}
	size := 0
	for _, c := range conds {
		if c.Key == "" || c.Rev < 0 {
			return fmt.Errorf("commit condition on key %q, revision %d: a key and a revision of at least 0 are needed: %w", c.Key, c.Rev, ErrInvalid)
		}
		size += len(c.Key)
	}
	for _, o := range ops {
		size += len(o.Key) + len(o.Value)
	}
	if size > MaxBytes {
		return fmt.Errorf("commit of %d bytes, at most %d: split it: %w", size, MaxBytes, ErrTooLarge)
	}
	return checkOps(ops)
}

func checkOps(ops []Op) error {
	puts := make(map[string]struct{}, len(ops))
	for _, o := range ops {
		switch {
		case o.Key == "":
			return fmt.Errorf("commit with an empty key: %w", ErrInvalid)
		case o.Prefix && o.Value != nil:
			return fmt.Errorf("commit puts a value to the prefix %q: a prefix can only be deleted: %w", o.Key, ErrInvalid)
		case o.Value == nil:
			continue
		}
		if _, twice := puts[o.Key]; twice {
			return fmt.Errorf("commit puts key %q twice: %w", o.Key, ErrInvalid)
		}
		puts[o.Key] = struct{}{}
	}
	for _, o := range ops {
		if o.Value != nil {
			continue
		}
		for k := range puts {
			if k == o.Key || (o.Prefix && strings.HasPrefix(k, o.Key)) {
				return fmt.Errorf("commit both puts and deletes key %q: %w", k, ErrInvalid)
			}
		}
	}
	return nil
}
