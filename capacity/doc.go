// Package capacity limits what the tasks of a process share: connections, memory, the
// licenses of a service. A [Limiter] has a number of units. Tasks of any scope take units
// for a part of their work and release them afterwards.
//
//	New                      makes a Limiter
//	Limiter.Do               calls a function while units are held
//	Limiter.Acquire          waits for units, and returns the function that releases them
//	Limiter.TryAcquire       takes units only if that is possible without waiting
//	Limiter.SetLimit         changes the number of units
//	Limiter.Stats            tells how many units are in use, and which tasks hold them
//
// [traigo.Limit] belongs to one scope, and a task has a slot for its whole life. A task that
// spawns into its own full scope and waits for the new task therefore waits for itself. Of
// a Limiter, a task holds units only around the work that needs them. The task of a
// crawler, for example, fetches a page inside [Limiter.Do]. It then spawns tasks for the links
// and waits for them, and holds nothing meanwhile. So one unit is enough for a tree of
// any depth. The second example of [Limiter.Do] shows this.
//
// A task that holds units and waits for another task that needs units of the same Limiter
// may wait for ever, and so may a task that holds units and takes more. A caller that has
// waited for 10 s is logged once, with the paths of the holders.
//
// The idea is Trio's CapacityLimiter. The type Weighted of golang.org/x/sync/semaphore
// also has units and a context to wait with. It is not used here because its size cannot be
// changed, it does not tell which tasks hold its units, and a caller that wants more than its
// size waits for the end of its context.
package capacity
