package record

import (
	"fmt"
	"unicode/utf8"

	"github.com/traigo/traigo"
)

// The outcome of a scope is passed on by each scope further out, as the error of a task, the
// cause of its end and its own outcome, each time with the path of the innermost scope. In
// full a chain of n nested scopes would take n² bytes.

// maxSummary is the number of bytes to which the text of an error that is passed on is cut. The
// error that began it has a line of its own, at the scope or task where it happened.
const maxSummary = 512

// errorOf returns the text of an event's error as it is written, and the stack of a panic.
func errorOf(e traigo.Event) (text, stack string) {
	text, stack = textOf(e.Err)
	if out, ok := e.Err.(*traigo.Error); ok && e.Kind == traigo.ScopeClosed && len(out.Others) > 0 { //nolint:errorlint // the documented type of the event's error
		return text, stack // no other line has all of them
	}
	return summary(e.Err, text), stack
}

// summary returns text, that of err, without its middle if it is long and err is passed on.
// The path at its beginning is that of a scope in the log; at the end is what has happened.
func summary(err error, text string) string {
	const begin, end = maxSummary / 4, maxSummary / 2
	if len(text) <= maxSummary || !isPassedOn(err) {
		return text
	}
	from, to := begin, len(text)-end
	for from > begin-utf8.UTFMax && !utf8.RuneStart(text[from]) {
		from--
	}
	for to < len(text)-end+utf8.UTFMax && !utf8.RuneStart(text[to]) {
		to++
	}
	return fmt.Sprintf("%s… (%d bytes more) …%s", text[:from], to-from, text[to:])
}

// isPassedOn reports whether err is or wraps the outcome of a scope or a cancellation. The
// Unwrap method is foreign code: no lock may be held.
func isPassedOn(err error) (is bool) {
	defer func() {
		if recover() != nil {
			is = false
		}
	}()
	for range 64 { // an error may wrap itself
		switch e := err.(type) { //nolint:errorlint // errors.As would not end at an error that wraps itself
		case *traigo.Error, *traigo.Cancellation:
			return true
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			all := e.Unwrap()
			if len(all) == 0 {
				return false
			}
			err = all[0]
		default:
			return false
		}
	}
	return false
}
