// Package proc runs functions in worker processes of the same program, as calls of ordinary
// tasks. A goroutine cannot be stopped; a process can. So it is for code that may not listen:
// a loop or a regular expression without an end, a parser that somebody else has written, a
// call of C, and for code that may bring down its process: by a panic on another goroutine, a
// crash, too much memory.
//
//	var thumb = proc.Func("thumb", func(ctx context.Context, in Job) (Image, error) { … })
//
//	func main() {
//		proc.Serve()
//		…
//		image, err := thumb.Run(ctx, job)
//	}
//
// A worker is this program, started once more: it registers the same functions, and [Serve],
// the first statement of main, does not return there. [Function.Run] has the form that
// traigo.Map and its like ask for. Timeouts, flags, owners of errors and places in the tree are
// those of the task that calls.
//
// When the context of a call ends, that of the function in the worker ends as well; if the
// worker has not answered a while later, it is killed, with all that it has started. When the
// program ends, in whatever way, its workers end at once. No process is left behind.
//
// Arguments and results are encoded by encoding/gob: unexported fields are lost, a value
// behind an interface must be registered with gob.Register, and files that are open here are
// not open there. A message has at most 64 MiB.
//
// It is not a sandbox: a worker has the user, the environment and the files of its parent.
//
// Workers need Linux. Elsewhere the package builds, Serve returns, and calls return
// errors.ErrUnsupported.
//
// The idea is from trio-parallel.
package proc
