package errgroup_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/errgroup"
)

var (
	errBoom  = errors.New("boom")
	errLater = errors.New("later")
	errOuter = errors.New("outer")
)

// after returns a function that sleeps for d and returns err.
func after(d time.Duration, err error) func() error {
	return func() error {
		time.Sleep(d)
		return err
	}
}

type observerFunc func(traigo.Event)

func (f observerFunc) Observe(e traigo.Event) { f(e) }

// raised returns the *traigo.PanicError with which Wait panics. It fails the test if
// Wait returns.
func raised(t *testing.T, g *errgroup.Group) (p *traigo.PanicError) {
	t.Helper()
	defer func() { p, _ = recover().(*traigo.PanicError) }()
	err := g.Wait()
	assert.Fail(t, "Wait has returned", "%v", err)
	return nil
}

// mustNotRun returns a function that fails the test if it is called.
func mustNotRun(t *testing.T) func() error {
	return func() error {
		assert.Fail(t, "it has been run")
		return nil
	}
}

// sleepy and lazy give their names to tasks.
func sleepy() error {
	time.Sleep(time.Second)
	return errBoom
}

func lazy() error {
	time.Sleep(time.Second / 2)
	return nil
}
