// Package traigo is structured concurrency: a [Scope] is a place where tasks
// live. Nothing that is started in it outlives it, every error has an owner,
// and a cancellation says who caused it and why.
//
//	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
//		s.Spawn(fetch)
//		s.Spawn(heartbeat, traigo.Awaited(false))
//		return nil
//	}, traigo.Timeout(10*time.Second))
//
// # Words
//
// A scope is opened by [Run] around a function, its body, or by [New] for an
// owner that keeps it, or by [Scope.Fork] below another. It is open until it is
// finalized: from then on it ends when nothing awaited is left in it. When it
// has ended, for whatever reason, it is canceled: its contexts are done, it
// refuses new tasks, and it waits for those that still run. Then it is closed.
//
// A task is a function that [Scope.Spawn] runs. Its failure bubbles: it cancels
// the scope and becomes the scope's outcome, an [*Error]. [Bubble] says
// otherwise for a task that may fail alone; [Master] marks one with which the
// scope ends; [Awaited] says of one whether the scope stays for it. A function
// whose result is wanted is spawned by [Async], and its error belongs to
// whoever awaits it.
//
// What ends a scope first is its cause. It decides the outcome, and everything
// below learns it from [context.Cause]: a [*Cancellation] that names the kind,
// the scope, the task, and the error behind it.
//
// # Rules
//
// A task must return when its context is done. Go has no way to stop one that
// does not: the scope waits for it, says so in the log after ten seconds, and
// goes on without it only if there is a [CancelTimeout].
//
// A scope is found by the context: [Current] returns it. Functions
// that are given a context can so spawn into the scope they run in.
//
// A panic of a task cancels its scope at once, is logged, and is raised again where the
// scope is waited for; see [PanicError] and [PanicAsError].
//
// # The files
//
// The source is meant to be read in this order; each file is a chapter.
//
//	scope.go     the type Scope, its invariants, and what can be asked of it
//	open.go      Run, New and Fork: the tree, and the body of Run
//	task.go      the type Task: its state, its result, and waiting for it
//	spawn.go     Spawn, TrySpawn, Async and Start, until a task is accepted
//	workers.go   how accepted tasks get goroutines, run, and are retired
//	options.go   every option, and what a wrong call says
//	state.go     the states of scopes and tasks, as a table
//	end.go       how a scope ends, and what follows from that
//	cause.go     why it ended, and which errors say no more than that
//	failure.go   the error of a task finds its owner
//	outcome.go   what a scope collects, and its outcome
//	errors.go    the types of errors, and their texts
//	context.go   scopes and tasks as contexts, and Current
//	timeout.go   Timeout, SetTimeout, MoveOnAfter, FailAfter, Shield, Sleep, and the clock
//	wait.go      waiting for a scope, Shutdown and Stopping
//	limit.go     Limit and AdmitBefore
//	stuck.go     tasks that do not end: CancelTimeout and warnings
//	blocking.go  Blocking
//	observe.go   observers and logging
//	wrap.go      Wrap
//	snapshot.go  Snapshot and Dump
//	join.go      All, Race, Settle and Map
//	stream.go    AsCompleted
//
// Why things are as they are is in docs/design.md and docs/adr.
package traigo
