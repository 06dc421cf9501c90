package errgroup_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/errgroup"
)

// That the group does what the one of x/sync does is tested in bench, with both side
// by side. Here is what it does differently, and what it can do besides; and the
// essence once more, so that this package stands alone.

var (
	errBoom  = errors.New("boom")
	errLater = errors.New("later")
	errOuter = errors.New("outer")
)

func after(d time.Duration, err error) func() error {
	return func() error {
		time.Sleep(d)
		return err
	}
}

type observerFunc func(traigo.Event)

func (f observerFunc) Observe(e traigo.Event) { f(e) }

// inBubble runs a test in which time is not real, and nothing may be left over.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// raised returns what Wait panics with, which has to be a *traigo.PanicError.
func raised(t *testing.T, g *errgroup.Group) (p *traigo.PanicError) {
	t.Helper()
	defer func() { p, _ = recover().(*traigo.PanicError) }()
	err := g.Wait()
	assert.Fail(t, "Wait has returned", "%v", err)
	return nil
}

// A Go that is blocked hears of a cancellation; what the user sees of it is below.

func mustNotRun(t *testing.T) func() error {
	return func() error {
		assert.Fail(t, "it has been run")
		return nil
	}
}

// What a group has from its scope.

type eventLog struct {
	mu   sync.Mutex
	seen []traigo.Event
}

func (l *eventLog) Observe(e traigo.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, e)
}

func (l *eventLog) last(path string, kind traigo.EventKind) traigo.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range slices.Backward(l.seen) {
		if e.Scope.Path() == path && e.Kind == kind {
			return e
		}
	}
	return traigo.Event{}
}

func sleepy() error {
	time.Sleep(time.Second)
	return errBoom
}

func lazy() error {
	time.Sleep(time.Second / 2)
	return nil
}
