package guide_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/traigotest"
)

// A poller calls ask once a minute, until it gets an answer.
type poller struct {
	ask func(ctx context.Context) (string, error)
}

func (p *poller) run(ctx context.Context) (string, error) {
	for {
		if answer, err := p.ask(ctx); err == nil {
			return answer, nil
		}
		if err := traigo.Sleep(ctx, time.Minute); err != nil {
			return "", err
		}
	}
}

func TestPollerAsksAgain(t *testing.T) {
	traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
		asked := 0
		p := &poller{ask: func(context.Context) (string, error) {
			asked++
			return "yes", nil
		}}
		s.Spawn(func(ctx context.Context) error {
			answer, err := p.run(ctx)
			require.NoError(t, err) // FailNow is allowed in tasks
			assert.Equal(t, "yes", answer)
			return nil
		}, traigo.Name("poller"))
	})
}

func TestPollerWaitsAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
			begin, asked := time.Now(), 0
			p := &poller{ask: func(context.Context) (string, error) {
				if asked++; asked < 3 {
					return "", errReset
				}
				return "yes", nil
			}}
			_, err := p.run(ctx)
			assert.NoError(t, err)
			assert.Equal(t, 2*time.Minute, time.Since(begin)) // takes no real time
		})
	})
}

func Example_testingFails() {
	t := printer{w: stdout{}} // in a test: the *testing.T
	traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("half a file is left")
		}, traigo.Name("download"))
		s.Spawn(func(context.Context) error { return errReset }, traigo.Name("upload"))
	})
	// Output:
	// task "TestSync/upload" failed: connection reset
	// task "TestSync/download" failed: half a file is left
}

func TestTestingLeak(t *testing.T) {
	var log strings.Builder
	synctest.Test(t, func(*testing.T) {
		t := printer{w: &log}
		traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done() // nobody cancels it
				return nil
			}, traigo.Name("reader"))
		})
	})
	shows(t, `
still running 10s after the body returned (traigotest.Patience says how long they may):

TestSync (finalizing, 10s)
└─ • reader (running, 10s)

task "TestSync/reader":
	goroutine 7 [chan receive]:
	main.run.func1.1.1(...)
		main.go:17 +0x25
`, sameStacks(log.String()))
}

// A printer is a testing.TB that prints its errors.
type printer struct {
	testing.TB
	w io.Writer
}

func (printer) Helper()                  {}
func (printer) Name() string             { return "TestSync" }
func (printer) Context() context.Context { return context.Background() }
func (printer) Failed() bool             { return false }
func (p printer) Error(args ...any) {
	fmt.Fprintln(p.w, strings.TrimSpace(fmt.Sprint(args...)))
}

func Example_testingSequence() {
	var seq traigotest.Sequence
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			return seq.Do(ctx, 1, func() { fmt.Println("reader: closed?") })
		})
		s.Spawn(func(ctx context.Context) error {
			if err := seq.Do(ctx, 0, func() { fmt.Println("writer: close") }); err != nil {
				return err
			}
			return seq.Do(ctx, 2, func() { fmt.Println("writer: gone") })
		})
		return nil
	})
	fmt.Println(err)
	// Output:
	// writer: close
	// reader: closed?
	// writer: gone
	// <nil>
}

// The same check without traigotest: is anything left?
func TestNothingIsLeft(t *testing.T) {
	s := traigo.New(t.Context())
	s.Spawn(untilCanceled)
	assert.NoError(t, s.Close())
	assert.Equal(t, traigo.Closed, s.State())
}
