package supervise

import (
	"context"
	"errors"

	"github.com/traigo/traigo"
)

// alone runs fn in a scope of its own, so that whatever it has spawned has
// ended when alone returns, and is nobody else's.
//
// The error is that of fn, if nothing else has failed, or the outcome of the
// scope. Where fn has ended for no other reason than that ctx has, it is the
// cause of that, and canceled is true; if fn then returned nil, so does alone.
func alone(ctx context.Context, fn func(context.Context) error, opts ...traigo.ScopeOption) (canceled bool, err error) {
	var own error
	err = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
		own = fn(ctx)
		return own
	}, opts...)
	e, failed := errors.AsType[*traigo.Error](err)
	switch {
	case !failed || len(e.Others) > 0:
		return false, err
	case ctx.Err() == nil || !isParents(e.Err):
		return false, e.Err
	case own == nil:
		return true, nil
	default:
		return true, context.Cause(ctx)
	}
}
