package temporal

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/traigo/traigo"
)

// A Function is a function that can run on another machine. See [Func].
type Function[In, Out any] struct {
	name    string
	fn      func(ctx context.Context, in In) (Out, error)
	retries int
	when    func(err error) bool
}

// A FuncOption is an option of [Func].
type FuncOption func(*retry)

type retry struct {
	n    int
	when func(err error) bool
}

// Func describes a function that can run on another machine. It registers nothing: the worker is
// told by [Work] which functions it has, and owner and worker use the same package-level variable.
//
// A task runs at least once, and more often if its worker is lost, if it is retried, or if a
// worker seems to be lost: two attempts may run at the same time for as long as fn ignores its
// context. The outcome of one is used. So what fn does to the world is done under a key,
// [Attempt].Task, or makes no difference when it is done twice. What fn starts in a scope under
// ctx ends with it.
//
// Arguments and results are encoded by the data converter of the client, by default as JSON. An
// argument or a result has at most 2 MiB less 4 KiB. The name, as all names, is not encoded, so it
// is no place for a secret. Func panics if the name is empty, if fn is nil, or if an option is.
func Func[In, Out any](name string, fn func(ctx context.Context, in In) (Out, error), opts ...FuncOption) *Function[In, Out] {
	if name == "" {
		panic("traigo: temporal.Func: the name is empty")
	}
	if !utf8.ValidString(name) {
		panic(fmt.Sprintf("traigo: temporal.Func(%q): the name is not valid UTF-8", name))
	}
	if fn == nil {
		panic(fmt.Sprintf("traigo: temporal.Func(%q): the function is nil", name))
	}
	var r retry
	for _, o := range opts {
		if o == nil {
			panic(fmt.Sprintf("traigo: temporal.Func(%q): an option is nil", name))
		}
		o(&r)
	}
	return &Function[In, Out]{name, fn, r.n, r.when}
}

// Retry lets a function run again after a failure, on any worker, up to n times: after 1 s, and
// after twice as long each time, up to a minute. If when is given, only after a failure for which
// it returns true; it is called in the worker, with the error as the function has returned it.
// Without Retry a failure is final. An attempt that is lost with its worker is no failure, and
// needs no Retry. Retry panics if n is negative, or if there is more than one when.
func Retry(n int, when ...func(err error) bool) FuncOption {
	switch {
	case n < 0:
		panic(fmt.Sprintf("traigo: temporal.Retry(%d): a negative number", n))
	case len(when) > 1:
		panic("traigo: temporal.Retry: more than one function that says when")
	case len(when) == 1 && when[0] == nil:
		panic("traigo: temporal.Retry: the function that says when is nil")
	}
	return func(r *retry) {
		*r = retry{n: n}
		if len(when) == 1 {
			r.when = when[0]
		}
	}
}

// Name returns the name that was given to [Func].
func (f *Function[In, Out]) Name() string {
	if f == nil {
		panic("traigo: temporal: the name of a function that is nil")
	}
	return f.name
}

// check panics unless f was made by Func.
func (f *Function[In, Out]) check(call string) {
	if f == nil || f.name == "" {
		panic(fmt.Sprintf("traigo: temporal: %s: the function is nil, or was not made by Func", call))
	}
}

// Run runs the function on a worker of r's queue, and returns when it has returned. If there is no
// worker it waits for one.
//
// An error of the function is a *traigo.RemoteError, in which errors.Is and errors.As find what was
// registered by traigo.RegisterError and traigo.RegisterErrorType. A panic of the function is a panic
// of Run, with a *traigo.PanicError as its value; traigo.ErrGoexit says that it has called Goexit.
// Other errors wrap [ErrUnknown], [ErrLost], [ErrTooLarge], [ErrLease] or [ErrEngine].
//
// When ctx is done, or the scope of r ends, the context of the function ends with that cause. Run
// then waits for the function, and returns the cause unless that has a result or an error of its
// own. If the function has not begun, it never does. When the scope of r has ended Run returns an
// error that wraps traigo.ErrRefused. It panics if ctx or r is nil.
func (f *Function[In, Out]) Run(ctx context.Context, r *Remote, in In) (out Out, err error) {
	f.check("Run")
	if ctx == nil {
		panic(fmt.Sprintf("traigo: temporal: Run of %q: the context is nil", f.name))
	}
	f.mustHave(r, "Run")
	c := &call{remote: r, name: f.name}
	result, err := c.do(ctx, in)
	if err != nil {
		return out, err
	}
	if err := r.engine.unseal(c.task, result, &out); err != nil {
		var none Out
		return none, fmt.Errorf("traigo: temporal: the result of %q cannot be decoded: %w", f.name, err)
	}
	return out, nil
}

// Spawn is Scope.Spawn of [Function.Run], in the scope of r. The task is by default named after the
// function.
func (f *Function[In, Out]) Spawn(r *Remote, in In, opts ...traigo.TaskOption) *traigo.Task {
	f.mustHave(r, "Spawn")
	return r.scope.Spawn(func(ctx context.Context) error {
		_, err := f.Run(ctx, r, in)
		return err
	}, f.named(opts)...)
}

// Async is traigo.Async of [Function.Run], in the scope of r. The task is by default named after
// the function.
func (f *Function[In, Out]) Async(r *Remote, in In, opts ...traigo.TaskOption) *traigo.Future[Out] {
	f.mustHave(r, "Async")
	return traigo.Async(r.scope, func(ctx context.Context) (Out, error) { return f.Run(ctx, r, in) }, f.named(opts)...)
}

func (f *Function[In, Out]) mustHave(r *Remote, call string) {
	f.check(call)
	if r == nil {
		panic(fmt.Sprintf("traigo: temporal: %s of %q: the Remote is nil", call, f.name))
	}
}

func (f *Function[In, Out]) named(opts []traigo.TaskOption) []traigo.TaskOption {
	return append([]traigo.TaskOption{traigo.Name(f.name)}, opts...)
}

// A callable is a Function, in a worker.
type callable interface {
	Name() string
	// invoke decodes an argument, and calls the function with it.
	invoke(ctx context.Context, decode func(into any) error) (out any, err error)
	// mayRetry reports whether the function runs again after its n-th failure.
	mayRetry(n int, err error) bool
}

func (f *Function[In, Out]) invoke(ctx context.Context, decode func(into any) error) (any, error) {
	var in In
	if err := decode(&in); err != nil {
		return nil, fmt.Errorf("traigo: temporal: the argument of %q cannot be decoded: %w", f.name, err)
	}
	return f.fn(ctx, in)
}

func (f *Function[In, Out]) mayRetry(n int, err error) bool {
	return n <= f.retries && (f.when == nil || f.when(err))
}

func (f *Function[In, Out]) work(w *work) {
	f.check("Work")
	if w.functions[f.name] != nil {
		panic(fmt.Sprintf("traigo: temporal.Work: two functions are named %q", f.name))
	}
	w.functions[f.name] = f
}
