package supervise

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/traigo/traigo"
)

// An Option sets up a function made by [Restart].
type Option interface{ applyRestart(*restarter) }

type option func(*restarter)

func (o option) applyRestart(r *restarter) { o(r) }

// A Policy says after which runs there is another one: see [When].
type Policy uint8

const (
	OnFailure Policy = iota // after one that returned an error; the default
	Always                  // after every one
	Never                   // after none
)

// When says when the function is restarted. The default is [OnFailure]. It
// panics if p is none of the three.
func When(p Policy) Option {
	if p > Never {
		panic(fmt.Sprintf("traigo: supervise.When(%d): no such policy; pass OnFailure, Always or Never", p))
	}
	return option(func(r *restarter) { r.when = p })
}

// Backoff says how long to wait before each restart. newPolicy is called before
// the first restart of each call of the function that [Restart] returns, since
// that may run in several tasks at once and a policy is for one. When the policy
// returns [backoff.Stop], there is no restart: see [RestartError].
//
// The default is [backoff.NewExponentialBackOff]: half a second at first, a
// minute at last, half as much again each time, and up to half of it more or less
// by chance. It panics if newPolicy is nil, and the function does when newPolicy
// returns nil.
func Backoff(newPolicy func() backoff.BackOff) Option {
	mustHave("Backoff", newPolicy != nil, "function", "pass one that makes a policy")
	return option(func(r *restarter) { r.newPolicy = newPolicy })
}

// ResetAfter says how long a run has to last to count as a healthy one: the
// delay after it is that of a first failure. The default is a minute. It panics
// if d is not positive.
func ResetAfter(d time.Duration) Option {
	mustBePositive("ResetAfter", d)
	return option(func(r *restarter) { r.resetAfter = d })
}

// Intensity allows at most n restarts in any window of length d. Where one more
// would be needed, the function returns a [*RestartError] with the last error.
// Without it there is no limit. It panics if n or d is not positive.
//
// The idea and the word are those of Erlang's supervisors.
func Intensity(n int, d time.Duration) Option {
	if n < 1 {
		panic(fmt.Sprintf("traigo: supervise.Intensity(%d, %v): a limit is at least 1; for no restart at all use When(Never)", n, d))
	}
	mustBePositive("Intensity", d)
	return option(func(r *restarter) { r.limit, r.window = n, d })
}

// PanicAsError makes a panic of a run a failure like any other: it is a
// [*traigo.PanicError], and the function is restarted. Without it a panic is
// raised, and nothing is restarted, unless the scope around has
// [traigo.PanicAsError].
func PanicAsError() Option { return option(func(r *restarter) { r.panicAsError = true }) }

// An Event tells of a restart that is about to come.
type Event struct {
	Attempt int           // the number of the run that has ended, from 1
	Err     error         // what it returned; nil is possible with Always
	Delay   time.Duration // how long until the next
}

// OnRestart calls f before each restart, and before the delay. f is called by the
// task that is restarted: it should be quick, and a panic in it is a panic of the
// task. It panics if f is nil.
func OnRestart(f func(Event)) Option {
	mustHave("OnRestart", f != nil, "function", "leave the option out to have none")
	return option(func(r *restarter) { r.onRestart = f })
}

// A LoggerOption is what [Logger] returns: it fits [Restart], [Run] and
// [WithServices].
type LoggerOption interface {
	Option
	traigo.ScopeOption
}

type loggerOption struct {
	traigo.ScopeOption // traigo.Logger, for Run and WithServices
	logger             *slog.Logger
}

// Logger says where restarts and the failures of siblings are logged, at WARN.
// The default is slog.Default(). For [Run] and [WithServices] it is
// [traigo.Logger] as well. It panics if l is nil.
func Logger(l *slog.Logger) LoggerOption {
	mustHave("Logger", l != nil, "*slog.Logger", "leave the option out to log to slog.Default()")
	return loggerOption{traigo.Logger(l), l}
}

func (o loggerOption) applyRestart(r *restarter) { r.logger = o.logger }

// record writes a log record in the form of those of the core, with the paths of
// the scope and, if there is one, of the task. A nil logger is slog.Default().
func record(ctx context.Context, logger *slog.Logger, level slog.Level, message string, s *traigo.Scope, t *traigo.Task, err error, more ...slog.Attr) {
	defer func() { _ = recover() }() // a logger that panics cannot be reported to itself
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

// loggerOf finds the Logger of this package among the options of a scope: that
// of the core tells nobody which it is.
func loggerOf(opts []traigo.ScopeOption) (logger *slog.Logger) {
	for _, o := range opts {
		if l, ok := o.(loggerOption); ok {
			logger = l.logger
		}
	}
	return logger
}

// Misuse panics at the call, as in the core.

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
