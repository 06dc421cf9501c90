package supervise

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/traigo/traigo"
)

// An Option configures [Retry], or a function made by [Restart].
type Option interface{ applyRestart(*restarter) }

type option func(*restarter)

func (o option) applyRestart(r *restarter) { o(r) }

// A Policy says after which runs of a function another run follows: see [When].
type Policy uint8

const (
	OnFailure Policy = iota // after a run that has returned an error; the default
	Always                  // after every run; not for Retry
	Never                   // after no run
)

// When sets the restart policy. The default is [OnFailure]. When panics if p is not one
// of the three policies.
func When(p Policy) Option {
	if p > Never {
		panic(fmt.Sprintf("traigo: supervise.When(%d): no such policy; pass OnFailure, Always or Never", p))
	}
	return option(func(r *restarter) { r.when = p })
}

// Backoff sets how long to wait before each restart. newPolicy is called before the first
// restart, once for each [Retry] and for each call of the function that [Restart] returns:
// that may run in several tasks at the same time, and a policy may not. If the policy returns
// [backoff.Stop] there is no restart: see [RestartError]. A [backoff.RetryAfterError]
// in the error of a run replaces the delay of the policy.
//
// The default is [backoff.NewExponentialBackOff]. It waits 0.5 seconds at first and
// 1.5 times as long before each further restart, up to a minute, and changes each delay
// at random by up to one half. Backoff panics if newPolicy is nil; Retry and
// the returned function of Restart panic if newPolicy returns nil.
func Backoff(newPolicy func() backoff.BackOff) Option {
	mustHave("Backoff", newPolicy != nil, "function", "pass one that makes a policy")
	return option(func(r *restarter) { r.newPolicy = newPolicy })
}

// ResetAfter sets how long a run must last to reset the [Backoff]: the delay after it is
// again that of the first restart. The default is one minute. ResetAfter panics if d is
// not positive.
func ResetAfter(d time.Duration) Option {
	mustBePositive("ResetAfter", d)
	return option(func(r *restarter) { r.resetAfter = d })
}

// Intensity allows at most n restarts within any period of length d. If one more would
// be needed, the result is a [*RestartError] with the error of the last run.
// Without Intensity the number of restarts is not limited. Intensity panics if n or d is
// not positive.
//
// The idea and the name are those of Erlang's supervisors.
func Intensity(n int, d time.Duration) Option {
	if n < 1 {
		panic(fmt.Sprintf("traigo: supervise.Intensity(%d, %v): a limit is at least 1; for no restart at all use When(Never)", n, d))
	}
	mustBePositive("Intensity", d)
	return option(func(r *restarter) { r.limit, r.window = n, d })
}

// Attempts allows at most n runs in all. If the last of several fails, the result is a
// [*RestartError]. For a service, which may fail now and then for years, [Intensity] is the
// limit to have; it is none for calls that take longer than its period. Attempts panics if
// n is not positive.
func Attempts(n int) Option {
	if n < 1 {
		panic(fmt.Sprintf("traigo: supervise.Attempts(%d): at least the first run is needed", n))
	}
	return option(func(r *restarter) { r.attempts = n })
}

// PanicAsError makes a panic in a run an error like any other, a [*traigo.PanicError],
// so that the function is restarted. Without it a panic is raised and nothing is
// restarted, unless a scope above has [traigo.PanicAsError].
func PanicAsError() Option { return option(func(r *restarter) { r.panicAsError = true }) }

// An Event describes a restart that is about to happen.
type Event struct {
	Attempt int           // the number of the run that has ended; the first is 1
	Err     error         // the error of that run; nil is possible with Always
	Delay   time.Duration // the time until the next run
}

// OnRestart calls f before each restart, when the run has ended and the delay has not
// begun. The task that is restarted, or that has called [Retry], calls f and goes on when f
// has returned; a panic in f is a panic of the task. OnRestart panics if f is nil.
func OnRestart(f func(Event)) Option {
	mustHave("OnRestart", f != nil, "function", "leave the option out to have none")
	return option(func(r *restarter) { r.onRestart = f })
}

// A LoggerOption is the result of [Logger]. It is an option of [Restart], [Retry], [Run]
// and [WithServices].
type LoggerOption interface {
	Option
	traigo.ScopeOption
}

type loggerOption struct {
	traigo.ScopeOption // traigo.Logger, for Run and WithServices
	logger             *slog.Logger
}

// Logger sets the logger for restarts, retries, and failures of siblings, which are logged
// at level WARN. The default is [slog.Default]. As an option of [Run] and [WithServices] it
// is also a [traigo.Logger]. Logger panics if l is nil.
func Logger(l *slog.Logger) LoggerOption {
	mustHave("Logger", l != nil, "*slog.Logger", "leave the option out to log to slog.Default()")
	return loggerOption{traigo.Logger(l), l}
}

func (o loggerOption) applyRestart(r *restarter) { r.logger = o.logger }

// loggerOf returns the logger of the last Logger option of this package; nil if there is
// none. The logger of a traigo.Logger cannot be read from the option.
func loggerOf(opts []traigo.ScopeOption) (logger *slog.Logger) {
	for _, o := range opts {
		if l, ok := o.(loggerOption); ok {
			logger = l.logger
		}
	}
	return logger
}

// log writes a record in the form of package traigo's, with the paths of the scope and
// the task, each if there is one. A nil logger means slog.Default().
func log(ctx context.Context, logger *slog.Logger, level slog.Level, message string, s *traigo.Scope, t *traigo.Task, err error, more ...slog.Attr) {
	defer func() { _ = recover() }() // the panic of a logger can only be logged by that logger
	if logger == nil {
		logger = slog.Default()
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 5)
	if s != nil {
		attrs = append(attrs, slog.String("scope", s.Path()))
	}
	if t != nil {
		attrs = append(attrs, slog.String("task", t.Path()))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	logger.LogAttrs(ctx, level, "traigo: "+message, append(attrs, more...)...)
}

// As in package traigo, a wrong argument panics in the call that has it.

func mustHave(call string, there bool, what, instead string) {
	if !there {
		panic("traigo: supervise." + call + ": nil " + what + "; " + instead)
	}
}

func mustBePositive(call string, d time.Duration) {
	if d <= 0 {
		panic(fmt.Sprintf("traigo: supervise.%s: %v is not a positive duration", call, d))
	}
}
