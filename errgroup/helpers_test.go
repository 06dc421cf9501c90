package errgroup_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
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
	errOther = errors.New("other")
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

// logged makes the default logger of slog write to a buffer, from the level on, until the
// test ends.
func logged(t *testing.T, level slog.Level) *buffer {
	t.Helper()
	var b buffer
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	slog.SetDefault(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level})))
	return &b
}

type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

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
