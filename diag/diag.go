// Package diag shows scopes and tasks in the tools of the standard library:
//
//	PprofLabels   names them in profiles and in dumps of stacks
//	RuntimeTrace  shows them in execution traces
//	LogHandler    adds their paths to the records of a program's own logs
//
// The first two are wrappers. [traigo.Wrap] installs them in a scope and in all scopes
// below it:
//
//	traigo.Run(ctx, serve, traigo.Wrap(diag.PprofLabels), traigo.Wrap(diag.RuntimeTrace))
//
// They show what runs in a scope: its tasks, and the bodies of Run. LogHandler goes
// around a [slog.Handler], and needs no option. A scope that uses none of the three pays
// nothing for them.
package diag

import (
	"context"

	"github.com/traigo/traigo"
)

// The keys of labels, and the categories of what is logged in a trace.
const (
	scopeKey    = "traigo.scope"
	taskKey     = "traigo.task"
	failedKey   = "traigo.failed"
	canceledKey = "traigo.canceled"
)

// running returns the scope in which a wrapper with this context runs, nil if there is
// none, and the task that is about to run. For the body of a Run that task is nil, also
// if a task calls Run: ctx then carries that task, but it is a task of another scope.
func running(ctx context.Context) (*traigo.Scope, *traigo.Task) {
	s, t := traigo.Current(ctx), traigo.CurrentTask(ctx)
	if t != nil && t.Scope() != s {
		t = nil
	}
	return s, t
}

// afterFunc attaches f to ctx as package context does, which holds a lock of its own
// meanwhile. A context type that embeds another has to provide AfterFunc: without it
// package context starts a goroutine for each context that is derived, and such
// goroutines would be in the profiles and traces that this package is for.
func afterFunc(ctx context.Context, f func()) (stop func() bool) {
	if ctx, ok := ctx.(interface{ AfterFunc(f func()) func() bool }); ok {
		return ctx.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}
