//go:build unix

package guide_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

func Example_wrapBlocking() {
	answer := make(chan struct{})
	lookup := func() error { <-answer; return nil } // knows no context
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(traigo.Blocking(lookup), traigo.Name("lookup"), traigo.Timeout(10*time.Millisecond))
		return nil
	}, traigo.Name("app"))
	fmt.Println(err)
	close(answer)
	// Output:
	// scope "app": task "lookup": timed out after 10ms
}

func Example_wrapValue() {
	read := func(ctx context.Context) (string, error) {
		var text string
		err := traigo.Blocking(func() (err error) {
			text, err = readLine()
			return err
		})(ctx)
		if err != nil {
			return "", err // readLine may still run, and set text
		}
		return text, nil
	}
	fmt.Println(read(ctx))
	// Output:
	// a line <nil>
}

func readLine() (string, error) { return "a line", nil }

// A library has goroutines of its own, as those of others have.
type library struct {
	stop, done chan struct{}
	err        error
}

func open() *library {
	lib := &library{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(lib.done)
		<-lib.stop
		lib.err = errors.New("flush: disk full")
	}()
	return lib
}

func (lib *library) Done() <-chan struct{} { return lib.done }
func (lib *library) Err() error            { return lib.err }
func (lib *library) Close()                { close(lib.stop) }

func Example_wrapLibrary() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		lib := open() // starts goroutines
		s.Spawn(func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				lib.Close()
				<-lib.Done() // Close only asks
			case <-lib.Done():
			}
			return lib.Err()
		}, traigo.Name("library"))

		s.Spawn(func(context.Context) error { return errReset }, traigo.Name("upload"))
		return nil
	}, traigo.Name("app"))
	fmt.Println(err)
	// Output:
	// scope "app": task "upload": connection reset; also: task "library": flush: disk full
}

func Example_wrapConn() {
	client, server := net.Pipe()
	defer server.Close()
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			// A read does not know ctx: it returns when conn is closed.
			defer context.AfterFunc(ctx, func() { client.Close() })()
			_, err := io.ReadAll(client)
			return err
		}, traigo.Name("read"))
		s.Cancel(errEnough)
		return nil
	}, traigo.Name("app"), traigo.CanceledIf(func(err error) bool {
		return errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
	}))
	fmt.Println(err)
	// Output:
	// scope "app": enough
}

func Example_wrapExec() {
	run := func(opts ...traigo.ScopeOption) error {
		return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			if _, err := s.Start(ctx, sleep); err != nil {
				return err
			}
			s.Cancel(errEnough) // kills the process
			return nil
		}, opts...)
	}
	fmt.Println(run(traigo.Name("app")))
	fmt.Println(run(traigo.Name("app"), traigo.CanceledIf(wasKilled)))
	// Output:
	// scope "app": enough; also: task "sleep": signal: killed
	// scope "app": enough
}

func sleep(ctx context.Context, ready func()) error {
	cmd := exec.CommandContext(ctx, "sleep", "60")
	if err := cmd.Start(); err != nil {
		return err
	}
	ready()
	return cmd.Wait()
}

// wasKilled reports whether a process has ended by a signal.
func wasKilled(err error) bool {
	e, ok := errors.AsType[*exec.ExitError](err)
	return ok && !e.Exited()
}

func Example_wrapTrySpawn() {
	s := traigo.New(ctx)
	_ = s.Close()
	f := &file{}
	_, ok := s.TrySpawn(func(ctx context.Context) error {
		defer f.Close()
		return upload(ctx, f)
	})
	if !ok {
		f.Close() // the function does not run
	}
	// Output:
	// closed
}

type file struct{}

func (*file) Close() { fmt.Println("closed") }

func upload(context.Context, *file) error { return nil }

func Example_wrapBareGo() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		events := make(chan string)
		old(events) // code that starts goroutines, and closes the channel at its end
		s.Spawn(func(ctx context.Context) error {
			for e := range events {
				fmt.Println(e)
			}
			return nil
		})
		return nil
	})
	fmt.Println(err)
	// Output:
	// one
	// <nil>
}

func old(events chan<- string) {
	go func() {
		defer close(events)
		events <- "one"
	}()
}

// Run does not wait for a call that was abandoned.
func TestWrapValueWhenAbandoned(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	begun, goOn := make(chan struct{}), make(chan struct{})
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		call := s.Spawn(traigo.Blocking(func() error {
			close(begun)
			<-goOn
			return nil
		}))
		<-begun
		cancel(errEnough)
		_ = call.Wait(context.Background())
		return nil
	})
	assert.ErrorIs(t, err, errEnough)
	close(goOn)
}
