package supervise

import (
	"errors"
	"slices"

	"github.com/traigo/traigo"
)

// How the errors of several scopes become one, of the shape that every failed
// scope has.

// join puts errors behind the outcome of the scope at path.
func join(path string, outcome error, more []error) error {
	if len(more) == 0 {
		return outcome
	}
	joined := &traigo.Error{Scope: path}
	if e, ok := errors.AsType[*traigo.Error](outcome); ok {
		*joined = *e // a copy, so that it keeps what is not exported: its count
		joined.Others = slices.Concat(e.Others, more)
	} else {
		joined.Err, joined.Others = more[0], more[1:]
	}
	return joined
}

// isParents reports whether err, as what has ended a scope, is the end of what
// is around it.
func isParents(err error) bool {
	c, ok := err.(*traigo.Cancellation) //nolint:errorlint // that of a scope below is something else
	return ok && c.Kind == traigo.ParentCanceled
}
