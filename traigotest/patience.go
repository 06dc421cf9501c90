package traigotest

import (
	"fmt"
	"testing"
	"time"

	"github.com/traigo/traigo"
)

// patience is an option by what it embeds: only package traigo can make one.
type patience struct {
	traigo.ScopeOption

	d time.Duration
}

type indifferent struct{}

func (indifferent) Observe(traigo.Event) {}

// Patience says how long [Run] waits for tasks, forks and abandoned calls once
// the body has returned. The default is 10 seconds; 0 is as long as the test
// may take. To other scopes than that of Run it says nothing. It panics if d is
// negative.
func Patience(d time.Duration) traigo.ScopeOption {
	if d < 0 {
		panic(fmt.Sprintf("traigotest: Patience(%v): negative duration", d))
	}
	return patience{traigo.Observe(indifferent{}), d}
}

// takePatience returns the options without those made by Patience, and what the
// last of these says.
func takePatience(opts []traigo.ScopeOption) (rest []traigo.ScopeOption, d time.Duration) {
	d = defaultPatience
	for _, o := range opts {
		if p, ok := o.(patience); ok {
			d = p.d
		} else {
			rest = append(rest, o)
		}
	}
	return rest, d
}

// timeLeft is how long t may still take, less what it takes to cancel and to
// tell of it.
func timeLeft(t testing.TB) (left time.Duration, known bool) {
	d, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return 0, false
	}
	// The T of a bubble panics: its clock knows nothing of the deadline.
	defer func() { _ = recover() }()
	at, ok := d.Deadline()
	if !ok {
		return 0, false
	}
	left = time.Until(at)
	return left - min(left/3, 5*time.Second), true
}
