package traigo

import (
	"context"
	"fmt"
	"time"
)

// Misuse panics at the call, with a message that says what to do instead: it is
// a mistake of the program, and no outcome would be the right place for it.

// check is the first line of every method of a scope.
func (s *Scope) check(method string) {
	if s == nil {
		panic("traigo: " + method + " on a nil *Scope: there is no current scope here; open one with Run or New")
	}
	if s.id == 0 {
		panic("traigo: " + method + " on a zero Scope; open one with Run, New or Fork")
	}
}

func mustHaveContext(call string, ctx context.Context) {
	if ctx == nil {
		panic("traigo: " + call + ": nil context; pass context.Background() if there is none")
	}
}

// mustHaveFunc is told whether the function is there, since a nil one of some
// type is not nil as an any.
func mustHaveFunc(call string, there bool, what string) {
	if !there {
		panic("traigo: " + call + ": nil function; pass " + what)
	}
}

func mustHaveOption(call string, there bool) {
	if !there {
		panic("traigo: " + call + ": nil option; leave it out")
	}
}

// check is the first line of every method of a Limiter.
func (l *Limiter) check(method string) {
	if l == nil || l.holders == nil {
		panic("traigo: " + method + ": a nil or zero *Limiter; make one with NewLimiter")
	}
}

func mustBeLimit(call string, n int) {
	if n < 0 {
		panic(fmt.Sprintf("traigo: %s(%d): negative limit", call, n))
	}
}

func mustNotBeNegative(call string, d time.Duration) {
	if d < 0 {
		panic(fmt.Sprintf("traigo: %s(%v): negative duration", call, d))
	}
}
