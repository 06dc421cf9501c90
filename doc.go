// Package traigo provides structured concurrency. A [Scope] runs tasks and waits for
// them. No task outlives its scope, unless a [CancelTimeout] allows it, every error has
// an owner that receives it, and every cancellation records its cause.
//
//	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
//		s.Spawn(fetch)
//		s.Spawn(heartbeat, traigo.Awaited(false))
//		return nil
//	}, traigo.Timeout(10*time.Second))
//
// # Words
//
// [Run] opens a scope for the duration of one function, its body. [New] opens a scope
// that the caller closes. [Scope.Fork] opens a scope below another one. A scope is open
// until it is finalized. A finalizing scope still accepts tasks, and is canceled when no
// awaited task or fork is left in it. When a scope is canceled, for this or any other
// reason, its contexts are done, it refuses new tasks, and it waits for the tasks that
// are still running. When the last of them has returned, the scope is closed.
//
// A task is a function started by [Scope.Spawn]. By default its error bubbles: the error
// cancels the scope and becomes the scope's outcome, an [*Error]. With Bubble(false) the
// error of the task does not cancel the scope. With Master(true) the scope is canceled
// when the task returns. With Awaited(false) a finalizing scope does not wait for the
// task to return by itself. [Async] starts a function that returns a value; its error
// belongs to the caller of [Future.Await].
//
// The first event that cancels a scope is its cause. The cause decides the outcome.
// [context.Cause] returns it for the contexts of the scope and of all scopes below: a
// [*Cancellation] that names the kind of the event, the scope, the task and the error.
//
// # Rules
//
// A task must return when its context is done. Go cannot stop a goroutine, so the scope
// waits for the task, logs a warning after ten seconds, and stops waiting only if a
// [CancelTimeout] is set.
//
// A context carries its scope: [Current] returns it. A function that has only a context
// can therefore spawn tasks in the scope it runs in.
//
// A panic in a task is logged and cancels its scope at once. When the scope is closed,
// Run, Wait, Close and Shutdown panic with it again; see [PanicError] and [PanicAsError].
//
// # The files
//
// The source is meant to be read in this order.
//
//	scope.go     the type Scope, its invariants and its methods
//	open.go      Run, New and Fork; the tree of scopes; the body of Run
//	task.go      the type Task: its state, its result, and waiting for it
//	spawn.go     Spawn, TrySpawn, Async and Start, up to the acceptance of a task
//	workers.go   the queue of accepted tasks, and the goroutines that run them
//	options.go   the options, except those of limit.go, and the checks of arguments
//	state.go     the states of scopes and tasks; the transition table of scopes
//	end.go       how a scope is canceled and closed, and the effects of both
//	cause.go     why a scope or task was canceled; which errors only repeat that
//	failure.go   the end of a task: the owner of its error, Master, OnDone
//	outcome.go   the errors that a scope collects, and its outcome
//	errors.go    the exported error types, except RemoteError
//	remote.go    RemoteError: errors of other processes, and which of them are known here
//	context.go   scopes and tasks as contexts, and Current
//	timeout.go   timers: SetTimeout, MoveOnAfter, FailAfter, Shield, Sleep
//	wait.go      waiting for a scope, Shutdown and Stopping; Blocking
//	limit.go     Limit, AdmitBefore, and the queue of Spawns that wait for a slot
//	stuck.go     tasks that do not return after cancellation
//	observe.go   observers, logging, and the wrappers around functions
//	snapshot.go  Snapshot and Dump
//	join.go      All, Race, Settle, Map and ForEach
//	stream.go    AsCompleted and Ordered
//	items.go     the goroutines that run the items of an iterator
//
// The reasons for the design are in docs/design.md and docs/adr.
package traigo
