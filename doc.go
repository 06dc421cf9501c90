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
// A scope hands itself down by the context: [Current] returns it. Functions
// that are given a context can so spawn into the scope they run in.
//
// A panic of a task cancels its scope at once and is raised again where the
// scope is waited for; see [PanicError] and [PanicAsError].
//
// Why things are as they are is in docs/design.md and docs/adr.
package traigo
