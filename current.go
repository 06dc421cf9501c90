package traigo

import "context"

// Current returns the scope that ctx is in: that of the task or body that ctx
// was given to. It returns nil if ctx carries none.
//
// The idea is traio's get_current: code deep in a call tree can spawn into the
// scope it runs in without having it passed along.
func Current(ctx context.Context) *Scope {
	mustHaveContext("Current", ctx)
	switch n := ctx.Value(nodeKey{}).(type) {
	case *Scope:
		return n
	case *Task:
		return n.scope
	default:
		return nil
	}
}

// CurrentTask returns the task that ctx is in. Within Run called by a task
// that is still this task. It returns nil if ctx carries none.
func CurrentTask(ctx context.Context) *Task {
	mustHaveContext("CurrentTask", ctx)
	_, t := where(ctx)
	return t
}

// where is Current and CurrentTask.
func where(ctx context.Context) (*Scope, *Task) {
	switch n := ctx.Value(nodeKey{}).(type) {
	case *Scope:
		_, t := where(n.outer)
		return n, t
	case *Task:
		return n.scope, n
	default:
		return nil, nil
	}
}

// pathOf is the path of the task or scope that ctx is in; "" if it carries none.
func pathOf(ctx context.Context) string {
	switch n := ctx.Value(nodeKey{}).(type) {
	case *Scope:
		return n.Path()
	case *Task:
		return n.Path()
	default:
		return ""
	}
}
