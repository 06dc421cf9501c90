// Package temporal makes scopes whose tasks run on many machines.
//
//	var resize = temporal.Func("resize", func(ctx context.Context, path string) (Size, error) { … })
//
//	// a worker, of which there are many
//	s.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, engine, "images", resize) })
//
//	// the owner
//	images, err := temporal.Open(s, engine, "images")
//	for _, path := range paths {
//		resize.Spawn(images, path)
//	}
//
// [Open] gives a scope a remote half. A task of it is a task of the scope as any other: its flags,
// its timeout, who owns its error, and the joins of package traigo are the same. What differs is
// where its function runs: on some process that calls [Work] for the queue. The scope ends when
// all of them have ended, and what ends the scope ends them, with a cause that says who and why.
//
// A [Temporal] cluster stands between the two. It keeps the tasks, gives them to workers, and
// begins them again elsewhere when a worker is gone. [Connect] finds it by the environment, as
// Temporal's own tools do. For trying and for tests, a blank import of package temporal/embedded
// is a server in the process. Worker and owner can then be tasks of one scope: the worker with
// Awaited(false), since it ends only when it is told to.
//
// # What a task must bear
//
// It runs at least once. When a worker is lost the task is begun again, and a worker that seems to
// be lost may be at work still. Exactly one outcome is used, but what the function does to the
// world may be done twice: so it is done under a key, [Attempt].Task, or in a way that makes no
// difference. Once its lease is lost, the context of an attempt ends with [ErrLease] as its cause.
// A function that ignores its context is not stopped by anything. Run what does that in package
// proc, inside of the function: it is killed when the context ends.
//
// # Leases
//
// The owner and each attempt tell the engine every third of the [Lease] that they live. One that has
// been silent for a lease is taken for gone: the tasks of an owner are canceled, and the attempt of
// a worker is given to another. They themselves are stricter, and stop after 9/10 of it. Only
// durations are compared, never the clocks of two machines.
//
// A scope is as long-lived as its owner, unless it is opened with [Resume]: then an owner that comes
// back goes on where the last one was, and does only what is left.
//
// # Secrets
//
// Arguments, results, saved values, errors with their texts and stacks, and causes go through the data converter
// of the client. With one that encrypts, the engine sees none of them. What it always
// sees are names: of scopes, tasks, functions, queues, workers and types of errors. In a scope with
// [Resume] the name of a task has a hash of its argument, without a key: who knows what an argument may
// be can tell which it is.
//
// The design owes to Trio, and to tractor: one process supervises, and what it supervises ends
// before it does.
//
// [Temporal]: https://docs.temporal.io
package temporal

// The files of this package, in reading order:
//
//	engine.go     Connect, and the embedded server
//	function.go   Func and Retry: what can run elsewhere, and how it is called
//	remote.go     Open: the remote half of a scope
//	lease.go      its lease, and its end
//	call.go       a call, in the owner
//	push.go       how workers hear of a cancellation at once
//	sight.go      what the owner sees of its tasks
//	outcome.go    what the end of a task means for its call
//	workflows.go  the two workflows, and what goes over the engine
//	history.go    how histories are read
//	worker.go     Work
//	watch.go      the scopes whose tasks a worker runs
//	attempt.go    an attempt: its function, its lease, what it saves
//	report.go     how it ends
//	answer.go     and how the engine hears of that
//	converter.go  how values travel
//	errors.go     errors
//	log.go        what of the SDK's log is worth a word
