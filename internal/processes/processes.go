// Package processes lets package proc show, below a scope of this process, the scopes that live
// in another one, and lets packages live and record look at many scopes at the price of one.
// Package traigo provides the functions; their types are not named here, since traigo imports
// this package.
package processes

import "context"

// An Ask returns the scopes that live in another process, as a []traigo.Snapshot with their
// paths and Pid as they are to be seen here; with stacks, if they are wanted. It should return
// when ctx is done: nobody waits for it any more then.
type Ask func(ctx context.Context, stacks bool) (scopes any)

// Functions are what package traigo provides.
type Functions struct {
	// Option returns a traigo.ScopeOption: Snapshot and Dump of the scope, and of those
	// above it, call ask and append what it returns to the Scopes of the scope. Each ask of
	// the tree is called on a goroutine of its own. Scopes below do not inherit it.
	Option func(ask Ask) any

	// Snapshot returns the traigo.Snapshot, or the Dump if stacks is set, of a *traigo.Scope.
	// It waits for other processes as long as these do, and not longer than ctx: a process
	// that is itself asked must answer in time without those below it that do not.
	Snapshot func(ctx context.Context, scope any, stacks bool) any

	// Dumps returns the Dump of each of the scopes, a []*traigo.Scope, as a
	// []traigo.Snapshot. The stacks of the program are written once for all of them.
	Dumps func(ctx context.Context, scopes any) any
}

var provided Functions

// Provide is called once, by package traigo, while it is initialized.
func Provide(f Functions) struct{} {
	provided = f
	return struct{}{}
}

// Option calls the function of that name that package traigo has provided.
func Option(ask Ask) any { return provided.Option(ask) }

// Snapshot calls the function of that name that package traigo has provided.
func Snapshot(ctx context.Context, scope any, stacks bool) any {
	return provided.Snapshot(ctx, scope, stacks)
}

// Dumps calls the function of that name that package traigo has provided.
func Dumps(ctx context.Context, scopes any) any { return provided.Dumps(ctx, scopes) }
