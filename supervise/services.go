package supervise

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"

	"github.com/traigo/traigo"
)

// WithServices is [traigo.Run] with services: tasks that the others need, and
// that are therefore stopped after them. When the body and everything in its scope
// s has ended, for whatever reason, the services are canceled one after the other,
// the last started first, and each is joined before the next is canceled.
//
// The body and what it spawns in s are canceled as soon as ctx is, or the timeout
// has passed, or one of them or a service has failed. The services do not hear of
// that: the context of each ends when its turn has come. With a
// [traigo.CancelTimeout], each of these steps takes no longer than that; a body
// that does not return is waited for, as in traigo.Run.
//
// The outcome is an [*traigo.Error]: what failed first, be it a service or not, and
// behind it what failed later. That includes what a service returns after it was
// stopped, unless it only says that it was. A panic, of a service too, stops
// everything in the same order, and is raised when all has ended.
//
// In the tree the services stand below the scope of the block, each in a scope of
// its own, and s, as "tasks", beside them. A [traigo.Limit] among the options, or a
// [traigo.LimitedBy], is that of s. [traigo.Stopping] is closed for services and tasks at the same time: a
// service should go by its context. It panics if body or an option is nil.
//
// The idea is the service nursery of Trio's issue 1521.
func WithServices(ctx context.Context, body func(ctx context.Context, s *traigo.Scope, services *Services) error, opts ...traigo.ScopeOption) error {
	mustHave("WithServices", body != nil, "function", "pass the body that starts the services")
	outer, inner := splitLimits(opts)
	services := &Services{logger: loggerOf(opts)}
	err := traigo.Run(ctx, func(ctx context.Context, block *traigo.Scope) error {
		services.block = block
		services.run(ctx, body, append(inner, traigo.Name("tasks")))
		return nil
	}, named(body, outer)...)
	return services.outcome(err)
}

// Services are tasks that end after those that need them: see [WithServices], which
// makes them. Its methods may be called from any goroutine.
type Services struct {
	logger       *slog.Logger
	block, tasks *traigo.Scope // tasks is where the body runs; below block, as the services are
	results      []result      // of what has ended; only the goroutine of the body uses it

	mu       sync.Mutex     // a leaf: nothing foreign is called while it is held
	running  list.List      // of *service, in the order in which they were started
	stopped  bool           // running is empty for ever
	removals sync.WaitGroup // goroutines of removeLater; none is added once stopped is set
}

// A service is the scope of one service.
type service struct {
	scope *traigo.Scope
	place *list.Element // in running, under mu; nil if the service came too late
}

// Spawn runs fn as a service, as [traigo.Scope.Spawn] runs a task, and does not wait
// for it. A failure of fn ends the block. If fn returns nil that is its own affair: a
// service that is always to be there is one of [Restart] with [Always].
//
// The scope that the context of fn carries is that of this service alone. It is to fn
// what the scope of [traigo.Run] is to its body: when fn has returned, it ends as soon
// as everything that is awaited in it has, or when its turn to be stopped comes. Options
// that fit both, such as [traigo.Name], are for the scope too, but for [traigo.Timeout],
// which is fn's. [traigo.Awaited] has no effect. Once the tasks of the block have been
// canceled no service is let in: the task that Spawn returns is then done, and its
// error is [traigo.ErrRefused]. It panics if fn or an option is nil.
func (s *Services) Spawn(fn func(ctx context.Context) error, opts ...traigo.TaskOption) *traigo.Task {
	mustHave("Services.Spawn", fn != nil, "function", "pass the one that the service is to run")
	scope := s.open(fn, opts).scope
	return scope.Spawn(func(ctx context.Context) error {
		defer scope.Finalize()
		return fn(ctx)
	}, optionsOf(fn, opts)...)
}

// Start is Spawn for a service that says when it can be used: as
// [traigo.Scope.Start] it returns when fn has called ready. An error before that is
// returned and ends nothing; so is the cause, if ctx ends first.
func (s *Services) Start(ctx context.Context, fn func(ctx context.Context, ready func()) error, opts ...traigo.TaskOption) (*traigo.Task, error) {
	mustHave("Services.Start", fn != nil, "function", "pass the one that is to call ready")
	sv := s.open(fn, opts)
	t, err := sv.scope.Start(ctx, func(ctx context.Context, ready func()) error {
		defer sv.scope.Finalize()
		return fn(ctx, ready)
	}, optionsOf(fn, opts)...)
	if err != nil && sv.place != nil {
		sv.scope.Cancel(nil)
		s.remove(sv)
	}
	return t, err
}

// optionsOf are the options of the task that runs fn. It is awaited: a scope that is
// finalized before the error of the task is known would end quietly, without the error.
func optionsOf(fn any, opts []traigo.TaskOption) []traigo.TaskOption {
	all := append(make([]traigo.TaskOption, 0, len(opts)+2), traigo.NameOf(fn))
	return append(append(all, opts...), traigo.Awaited(true))
}

// open makes the scope of a service. Where none is let in it is that of the tasks,
// which is canceled then, and refuses in the way of the core.
func (s *Services) open(fn any, opts []traigo.TaskOption) *service {
	if s.tasks.State() >= traigo.Canceling {
		return &service{scope: s.tasks}
	}
	both := []traigo.ScopeOption{traigo.NameOf(fn)}
	for _, o := range opts {
		if o, ok := o.(traigo.ScopeOption); ok && reflect.TypeOf(o) != timeoutType {
			both = append(both, o)
		}
	}
	scope := traigo.New(context.WithoutCancel(s.block.Context()), both...)
	sv := &service{scope: scope}
	s.watch(sv)
	s.mu.Lock()
	late := s.stopped
	if !late {
		sv.place = s.running.PushBack(sv)
	}
	s.mu.Unlock()
	if late {
		scope.Cancel(nil)
		return &service{scope: s.tasks}
	}
	return sv
}

// watch has the failure of a scope end the block as it happens. Its context calls
// f itself; context.AfterFunc would do that on another goroutine, and what has
// failed first would be a matter of chance.
func (s *Services) watch(sv *service) {
	ctx, ok := sv.scope.Context().(interface{ AfterFunc(f func()) func() bool })
	if !ok {
		panic("traigo: supervise.WithServices: the context of a scope has no AfterFunc")
	}
	ctx.AfterFunc(func() { s.ended(sv) })
}

// ended is called when a scope has ended, by whoever has ended it, before it closes.
func (s *Services) ended(sv *service) {
	scope := sv.scope
	c, ok := context.Cause(scope.Context()).(*traigo.Cancellation) //nolint:errorlint // of this scope, not of one that it was told of
	switch {
	case !ok || c.Kind == traigo.ParentCanceled || isStop(c.Err):
	case c.Err == nil:
		s.removeLater(sv)
	case scope == s.tasks && (c.Kind == traigo.Panicked || c.Kind == traigo.BodyFailed && c.Err == traigo.ErrGoexit): //nolint:errorlint // a body may return one that wraps it
		// It comes through the block by itself, which would log this as another one.
	case c.Kind == traigo.Panicked:
		s.block.Cancel(c.Err)
	default:
		s.block.Cancel(&failure{scope, c})
	}
}

// removeLater removes a service that has ended by itself, once its scope has closed. It
// cannot wait for that itself: it is called by the goroutine that closes the scope.
func (s *Services) removeLater(sv *service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sv.place != nil && !s.stopped {
		s.removals.Go(func() { s.remove(sv) })
	}
}

// remove waits for the end of a service and forgets it, unless its outcome is an error:
// stop finds that when the turn of the service comes.
func (s *Services) remove(sv *service) {
	<-sv.scope.Done()
	if sv.scope.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running.Remove(sv.place)
}

// How a block with services ends: the tasks, then the services in turn, then one
// outcome.

// run runs the tasks of the block, and then stops its services, also where a panic
// or a Goexit comes through here.
func (s *Services) run(ctx context.Context, body func(context.Context, *traigo.Scope, *Services) error, opts []traigo.ScopeOption) {
	returned := false
	defer func() {
		if returned {
			return
		}
		value := recover()
		panicked := s.stop()
		switch {
		case value != nil:
			s.reportHidden(ctx, panicked)
			panic(value)
		default: // a Goexit
			s.reportHidden(ctx, nil)
			if panicked != nil {
				panic(panicked)
			}
		}
	}()
	err := traigo.Run(ctx, func(ctx context.Context, tasks *traigo.Scope) error {
		s.tasks = tasks
		s.watch(&service{scope: tasks})
		return body(ctx, tasks, s)
	}, opts...)
	returned = true
	s.results = append(s.results, result{s.tasks, err})
	if panicked := s.stop(); panicked != nil {
		s.reportHidden(ctx, nil)
		panic(panicked)
	}
}

// stop ends the services, the last started first. It returns the first panic of
// them.
func (s *Services) stop() (panicked any) {
	for scope := s.next(); scope != nil; scope = s.next() {
		scope.Cancel(&stop{})
		value, err := closeScope(scope)
		switch {
		case value == nil:
			s.results = append(s.results, result{scope, err})
		case panicked == nil:
			panicked = value
		default:
			s.results = append(s.results, result{scope, scope.Err()})
		}
	}
	s.removals.Wait()
	return panicked
}

func (s *Services) next() *traigo.Scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.running.Back()
	if last == nil {
		s.stopped = true
		return nil
	}
	s.running.Remove(last)
	return last.Value.(*service).scope
}

// closeScope waits for a scope that was canceled. A panic of it must not keep the
// others from being stopped.
func closeScope(scope *traigo.Scope) (panicked any, err error) {
	defer func() { panicked = recover() }()
	return nil, scope.Close()
}

// A stop is why a service is canceled whose turn has come. As the cause is no
// quiet end, what the service has to say after it is kept.
type stop struct{}

func (*stop) Error() string { return "the tasks that needed the service have ended" }

func isStop(err error) bool {
	_, is := err.(*stop) //nolint:errorlint // as a cause, not inside of one
	return is
}

// A failure is what ends the block: one of its scopes has ended like that.
type failure struct {
	scope *traigo.Scope
	why   *traigo.Cancellation
}

func (f *failure) Error() string {
	if f.why.Kind == traigo.TaskFailed {
		task := strings.TrimPrefix(f.why.Task, f.why.Scope+"/")
		return (&traigo.TaskError{Task: task, Err: f.why.Err}).Error()
	}
	return f.why.Err.Error()
}

func (f *failure) Unwrap() error { return f.why.Err }

// A result is the outcome of one of the scopes of a block.
type result struct {
	scope *traigo.Scope
	err   error
}

// errors are those that are to be in the outcome of the block, and how many more there
// were: not that the scope was stopped, nor that the block has ended, which it says
// itself. Errors of the tasks of the block stand for themselves.
func (r result) errors(flat bool) (errs []error, more int) {
	e, failed := errors.AsType[*traigo.Error](r.err)
	if !failed {
		return nil, 0
	}
	all := e.Unwrap()
	if isParents(e.Err) || isStop(e.Err) {
		all = all[1:]
	}
	if len(all) < 2 || flat {
		return all, e.More
	}
	rest := *e
	rest.Err, rest.Others = all[0], all[1:]
	return []error{&rest}, 0
}

// outcome makes one error of what ended the block and of what its scopes have left.
func (s *Services) outcome(err error) error {
	ended, _ := errors.AsType[*traigo.Error](err)
	var first *failure
	if ended != nil {
		first, _ = ended.Err.(*failure) //nolint:errorlint // that of this block
	}
	var cause, others []error
	more := 0
	for _, r := range s.results {
		errs, n := r.errors(r.scope == s.tasks)
		more += n
		if first != nil && r.scope == first.scope {
			cause = errs
		} else {
			others = append(others, errs...)
		}
	}
	if len(cause) > 0 {
		exact := *ended
		exact.Err = cause[0]
		err, others = &exact, append(cause[1:len(cause):len(cause)], others...)
	}
	return join(s.block.Path(), err, others, more)
}

// reportHidden logs what nobody gets to see because a panic, or a Goexit, is what
// comes out of the block.
func (s *Services) reportHidden(ctx context.Context, panicked any) {
	var hidden []error
	more := 0
	for _, r := range s.results {
		errs, n := r.errors(r.scope == s.tasks)
		hidden, more = append(hidden, errs...), more+n
	}
	if err, ok := panicked.(error); ok {
		hidden = append(hidden, err)
	}
	if len(hidden) > 0 {
		record(ctx, s.logger, slog.LevelError, "errors hidden by a panic or a Goexit", s.block, nil,
			join(s.block.Path(), nil, hidden, more))
	}
}

var (
	limitType   = reflect.TypeOf(traigo.Limit(1))
	limitedType = reflect.TypeOf(traigo.LimitedBy(traigo.NewLimiter(1)))
	timeoutType = reflect.TypeOf(traigo.Timeout(1))
)

// splitLimits takes the limits out of the options of a block: they are for its
// tasks, and a scope does not hand them down.
func splitLimits(opts []traigo.ScopeOption) (others, limits []traigo.ScopeOption) {
	for _, o := range opts {
		if o != nil && (reflect.TypeOf(o) == limitType || reflect.TypeOf(o) == limitedType) {
			limits = append(limits, o)
		} else {
			others = append(others, o)
		}
	}
	return others, limits
}
