package supervise

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"

	"github.com/traigo/traigo"
)

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
		s.watch(tasks)
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
	return panicked
}

func (s *Services) next() *traigo.Scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.running) - 1
	if n < 0 {
		s.stopped = true
		return nil
	}
	scope := s.running[n]
	s.running = s.running[:n]
	return scope
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

// errors are those that are to be in the outcome of the block: not that the scope
// was stopped, nor that the block has ended, which it says itself. Errors of the
// tasks of the block stand for themselves.
func (r result) errors(flat bool) []error {
	e, failed := errors.AsType[*traigo.Error](r.err)
	if !failed {
		return nil
	}
	all := e.Unwrap()
	if isParents(e.Err) || isStop(e.Err) {
		all = all[1:]
	}
	if len(all) < 2 || flat && len(e.Others) < maxKept { // with more, it may have a count
		return all
	}
	rest := *e
	rest.Err, rest.Others = all[0], all[1:]
	return []error{&rest}
}

// outcome makes one error of what ended the block and of what its scopes have left.
func (s *Services) outcome(err error) error {
	ended, _ := errors.AsType[*traigo.Error](err)
	var first *failure
	if ended != nil {
		first, _ = ended.Err.(*failure) //nolint:errorlint // that of this block
	}
	var cause, others []error
	for _, r := range s.results {
		errs := r.errors(r.scope == s.tasks)
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
	return join(s.block.Path(), err, others)
}

// reportHidden logs what nobody gets to see because a panic, or a Goexit, is what
// comes out of the block.
func (s *Services) reportHidden(ctx context.Context, panicked any) {
	var hidden []error
	for _, r := range s.results {
		hidden = append(hidden, r.errors(r.scope == s.tasks)...)
	}
	if err, ok := panicked.(error); ok {
		hidden = append(hidden, err)
	}
	if len(hidden) > 0 {
		record(ctx, s.logger, slog.LevelError, "errors hidden by a panic or a Goexit", s.block, nil,
			join(s.block.Path(), nil, hidden))
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
