package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/traigo/traigo"
)

// Signals makes the signals of the process end s. The first one begins a shutdown, as
// [traigo.Scope.Shutdown] does: [traigo.Stopping] is closed, and s may end by itself within
// grace. A second signal cancels s at once, and so does the end of grace; the cause is then
// a [*SignalError]. When s has been canceled by that, or is done, the signals have their usual
// effect again, so that one more Ctrl-C ends a program that does not listen to its contexts,
// unless the program was started with that signal ignored.
//
// Signals returns at once. The shutdown is begun by a task of s, which is named after the
// signal, as in "shutdown: interrupt". The outcome of s remains that of its owner, and is
// nil if s ends by itself. Without sigs the signals are SIGINT, which Ctrl-C sends, and SIGTERM. A
// grace of 0 cancels s at the first signal. Signals panics if s or a signal is nil, and if
// grace is negative.
func Signals(s *traigo.Scope, grace time.Duration, sigs ...os.Signal) {
	mustHave("Signals", s != nil, "*Scope", "open one with Run or New")
	mustNotBeNegative("Signals", grace)
	for _, sig := range sigs {
		mustHave("Signals", sig != nil, "os.Signal", "leave it out")
	}
	if len(sigs) == 0 {
		sigs = []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	}
	received := make(chan os.Signal, 2)
	signal.Notify(received, sigs...)
	// The goroutine is no task of s: a task cannot wait for its scope. It ends with s.
	go func() {
		defer signal.Stop(received)
		endBy(received, s, grace)
	}()
}

// endBy ends s when signals arrive. It returns when it has canceled s, or when s is done.
func endBy(received <-chan os.Signal, s *traigo.Scope, grace time.Duration) {
	var first os.Signal
	select {
	case first = <-received:
	case <-s.Done():
		return
	}
	if grace > 0 {
		// Called by a task of s, Shutdown only begins. Then it does not count as the call that
		// has received the outcome, and does not panic with it.
		s.TrySpawn(func(ctx context.Context) error {
			_ = s.Shutdown(ctx)
			return nil
		}, traigo.Name("shutdown: "+first.String()), traigo.Awaited(false))
	}
	over := time.NewTimer(grace)
	defer over.Stop()
	select {
	case second := <-received:
		s.Cancel(&SignalError{Signal: second, Second: true})
	case <-over.C:
		s.Cancel(&SignalError{Signal: first, Grace: grace})
	case <-s.Done():
	}
}

// A SignalError is the cause when [Signals] has canceled a scope.
type SignalError struct {
	Signal os.Signal     // the first one if the grace period is over, otherwise the second
	Second bool          // whether it came after a first one
	Grace  time.Duration // the grace period that is over; 0 if Second
}

func (e *SignalError) Error() string {
	switch {
	case e.Second:
		return fmt.Sprintf("a second signal: %v", e.Signal)
	case e.Grace == 0:
		return fmt.Sprintf("signal: %v", e.Signal)
	}
	return fmt.Sprintf("signal: %v: the grace period of %v is over", e.Signal, e.Grace)
}

// defaultGrace is shorter than the 10 s after which `docker stop` kills a process.
const defaultGrace = 8 * time.Second

// Main is what the function main of a program calls: it runs body in a scope under
// [Signals] with SIGINT and SIGTERM. It returns when everything in the scope has ended
// without an error, also after a signal. Otherwise it writes the error in one line to
// standard error and exits: with status 128 + n if signal n is what has ended the scope,
// because the grace period was over or because it was the second one, and with status
// 1 in every other case. A panic is raised.
//
// The grace period is 8 seconds; [Grace] changes it. Give the scope a [traigo.CancelTimeout],
// of a second for example, if tasks might not listen to their contexts: Main waits for
// them otherwise, and what has started the program may kill it.
//
// Deferred functions of main do not run when Main exits. What must be closed belongs in
// body; a recorder, which must be closed after the scope that it observes, in a body that
// calls Run with it. The scope is named after body unless opts name it. Main panics if body or
// an option is nil.
func Main(body func(ctx context.Context, s *traigo.Scope) error, opts ...traigo.ScopeOption) {
	mustHave("Main", body != nil, "function", "pass the one that does the work")
	grace, all := defaultGrace, []traigo.ScopeOption{traigo.NameOf(body)}
	for _, o := range opts {
		mustHave("Main", o != nil, "option", "leave it out")
		if g, ok := o.(graceOption); ok {
			grace = g.grace
			continue
		}
		all = append(all, o)
	}
	err := traigo.ErrGoexit // unless Run returns or panics: the process would not end by itself
	defer func() {
		if value := recover(); value != nil {
			panic(value)
		}
		exit(err)
	}()
	err = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		Signals(s, grace)
		return body(ctx, s)
	}, all...)
}

// Grace sets how long [Main] lets the work go on after the first signal. To other
// functions it is an option without an effect. Grace panics if d is negative.
func Grace(d time.Duration) traigo.ScopeOption {
	mustNotBeNegative("Grace", d)
	none := traigo.CanceledIf(func(error) bool { return false })
	return graceOption{none, d}
}

type graceOption struct {
	traigo.ScopeOption
	grace time.Duration
}

// exit ends the process if there is an error.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, oneLine(err.Error()))
		os.Exit(status(err))
	}
}

// status returns the exit status for the outcome of the scope of Main.
func status(err error) int {
	if outcome, ok := errors.AsType[*traigo.Error](err); ok {
		err = outcome.Err // what came after it does not count
	}
	if e, ok := errors.AsType[*SignalError](err); ok {
		if n, ok := e.Signal.(syscall.Signal); ok {
			return 128 + int(n)
		}
	}
	return 1
}

// oneLine returns text for a terminal: what would begin a line or control it becomes a space.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	}), " ")
}

func mustNotBeNegative(call string, d time.Duration) {
	if d < 0 {
		panic(fmt.Sprintf("traigo: serve.%s: %v is a negative duration", call, d))
	}
}
