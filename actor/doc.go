// Package actor makes processes part of the tree of scopes. An actor is a process of this
// program, a task of the scope that has started it, and a place where registered functions run.
//
//	var square = actor.Func("square", func(ctx context.Context, n int) (int, error) { return n * n, nil })
//
//	func main() {
//		actor.Serve() // does not return in an actor
//		err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
//			a, err := actor.Start(ctx, s, "math", actor.Expose(square))
//			if err != nil {
//				return err
//			}
//			n, err := square.Run(ctx, a, 7)
//			…
//		})
//	}
//
// [Start] starts an actor that stays until its scope ends; Function.Spawn starts one for a single
// call. Actors start actors, so processes form a tree, as scopes do. When the scope of an actor
// ends, the actor is asked to end, with all below it, and is killed if it does not. When an actor
// dies, its task fails. When a process dies, by whatever it be, all below it are gone at once. So
// no process outlives its scope, and no failure goes unseen.
//
// A [Function] takes a value and returns one, a [Sequence] yields many, and a [Conversation] goes
// both ways. A cancellation is a request that is answered: the context of the function ends, with a
// cause that says who has asked and why, and the caller waits until the function has returned. An
// error comes back as an [Error], with the processes that it has crossed.
//
// [Find] finds actors of the same tree by name. [Listen] and [Dial] connect programs on different
// hosts; what runs there is somebody else's tree. [Snapshot], [Record] and [Pause] show a tree of
// processes as one: as it is now, as it was, and in a debugger.
//
// # When
//
// A goroutine costs a microsecond, and an actor some 10 ms and 15 MB. For a call that may have to
// be killed, there is package proc, which is lighter. An actor is for work that keeps state, that
// talks while it runs, or that has processes of its own.
//
// # Other systems
//
// Actors need Linux. Elsewhere the package builds, Serve returns, Listen and Dial work, and Start
// returns errors.ErrUnsupported.
//
// The idea, and most of the semantics, are tractor's.
package actor

// The files of this package, in reading order:
//
//	function.go         Func and Source: what can be asked for
//	dialog.go           Dialog, and the Peer of each side
//	values.go           how values travel
//	errors.go, id.go    errors of other processes; who a process is
//	options.go          options
//	actor.go            Start, Spawn and the handle of an actor
//	child.go            an actor, in the process that has started it
//	ladder.go           how it is ended
//	serve.go            an actor, in its own process, from its beginning to its end
//	process.go          any process, as a part of the tree
//	wire.go             what goes over a connection
//	control.go          what is said beside calls
//	link.go, call.go    the side of a connection that asks, and its calls
//	stream.go           streams, at that side
//	host.go, running.go the side that serves, and its calls
//	parts.go            the stream of a call, at either side
//	remote.go           actors that were found or dialed
//	registrar_linux.go  how actors are found
//	find_linux.go       Find and Wait
//	listen.go           Listen and Dial
//	snapshot.go         the tree as it is
//	record.go           the tree as it was
//	pause_linux.go      the tree in a debugger: who is paused
//	debugger_linux.go   and the debugger, in the root
//	clock.go            the clock that stands still meanwhile
//	share.go            one stream for several readers
