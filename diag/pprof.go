package diag

import (
	"context"
	"runtime/pprof"
)

// PprofLabels is a [traigo.Wrapper] that sets pprof labels while a task or a body runs.
// Goroutine and CPU profiles then say to which task a sample belongs, and so does a dump
// of all stacks under GODEBUG=tracebacklabels=1.
//
// A task has the labels traigo.scope, which is the path of its scope, and traigo.task,
// which is its own name. The body of a Run has the first label only, also if a task
// calls Run: beside the path of the new scope, the name of that task would look like the
// name of a task in the new scope. While Run waits for its tasks, after the body, its
// goroutine has the labels of the caller again.
//
// The context has the same labels, so that [pprof.Do] adds to them. Other labels of the
// context stay. When the function has ended, also by a panic or runtime.Goexit, the
// goroutine has the labels of the context that PprofLabels was given, as after pprof.Do.
// A goroutine that the function starts with a go statement inherits the labels: a
// goroutine with the labels of a task that has ended runs outside of its scope.
//
// PprofLabels costs about 0.5 µs and 6 allocations for each task or body, and 2 µs more
// where the stack of a new goroutine has to grow for it; the functions of most tasks
// make it grow anyway. With a context outside of a scope, PprofLabels only calls next.
func PprofLabels(ctx context.Context, next func(context.Context) error) error {
	s, t := running(ctx)
	if s == nil {
		return next(ctx)
	}
	labels := make([]string, 0, 8)
	pprof.ForLabels(ctx, func(key, value string) bool {
		if key != scopeKey && key != taskKey {
			labels = append(labels, key, value)
		}
		return true
	})
	labels = append(labels, scopeKey, s.Path())
	if t != nil {
		labels = append(labels, taskKey, t.Name())
	}
	labeled := &labeledContext{ctx, pprof.WithLabels(context.Background(), pprof.Labels(labels...))}
	defer pprof.SetGoroutineLabels(ctx)
	pprof.SetGoroutineLabels(labeled)
	return next(labeled)
}

// A labeledContext has other pprof labels than the context in it. WithLabels of package
// pprof cannot make it, as it only adds labels: the label of a task that calls Run would
// stay.
type labeledContext struct {
	context.Context //nolint:containedctx // it is one

	labels context.Context //nolint:containedctx // has the labels, and no other values
}

func (c *labeledContext) Value(key any) any {
	if v := c.labels.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

func (c *labeledContext) AfterFunc(f func()) (stop func() bool) { return afterFunc(c.Context, f) }
