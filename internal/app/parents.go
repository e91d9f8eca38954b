package app

import (
	"context"

	"jurymast/internal/signing"
)

type parents struct{}

func (a *App) askedParent(*signing.Set) *signing.Parent { return nil }
func (a *App) askParents(context.Context)               {}
