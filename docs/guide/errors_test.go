package guide_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

func Example_errorsDetails() {
	err := traigo.Run(ctx, backupTwo, traigo.Name("backup"))
	fmt.Println(err)
	fmt.Printf("%+v\n", err)
	// Output:
	// scope "backup/photos": task "send": connection reset; also: task "index": index: disk full
	// scope "backup":
	// 	task "upload":
	// 		scope "backup/photos":
	// 			task "send": connection reset
	// 			task "index": index: disk full
}

func backupTwo(ctx context.Context, s *traigo.Scope) error {
	s.Spawn(func(ctx context.Context) error {
		return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				return errors.New("index: disk full")
			}, traigo.Name("index"))
			s.Spawn(func(context.Context) error { return errReset }, traigo.Name("send"))
			return nil
		}, traigo.Name("photos"))
	}, traigo.Name("upload"))
	return nil
}

func Example_errorsIs() {
	err := traigo.Run(ctx, backupTwo, traigo.Name("backup"))

	fmt.Println(errors.Is(err, errReset)) // looks into all of them
	if outcome, ok := errors.AsType[*traigo.Error](err); ok {
		fmt.Println(outcome.Scope, len(outcome.Others), outcome.More)
	}
	if task, ok := errors.AsType[*traigo.TaskError](err); ok {
		fmt.Println(task.Task, "-", task.Err)
	}
	// Output:
	// true
	// backup 0 0
	// upload - scope "backup/photos": task "send": connection reset; also: task "index": index: disk full
}

func Example_errorsLog() {
	err := traigo.Run(ctx, backupTwo, traigo.Name("backup"))
	logger.Error("no backup", "err", err.Error())
	logger.Error("no backup", "err", err)
	// Output:
	// level=ERROR msg="no backup" err="scope \"backup/photos\": task \"send\": connection reset; also: task \"index\": index: disk full"
	// level=ERROR msg="no backup" err="scope \"backup\":\n\ttask \"upload\":\n\t\tscope \"backup/photos\":\n\t\t\ttask \"send\": connection reset\n\t\t\ttask \"index\": index: disk full"
}

func Example_errorsOnlyCanceled() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(untilCanceled) // returns ctx.Err()
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("query: %w", context.Cause(ctx))
		})
		s.Spawn(func(context.Context) error { return errReset }, traigo.Name("send"))
		return nil
	}, traigo.Name("app"))
	fmt.Println(err)
	// Output:
	// scope "app": task "send": connection reset
}

func Example_errorsPanic() {
	defer func() {
		p := recover().(*traigo.PanicError)
		fmt.Println("recovered:", p.Task, p.Recovered.Value)
	}()
	_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println("the others can clean up")
			return nil
		})
		s.Spawn(func(context.Context) error {
			panic("index out of range")
		}, traigo.Name("parse"))
		return nil
	}, traigo.Name("app"), traigo.Logger(discard))
	// Output:
	// the others can clean up
	// recovered: app/parse index out of range
}

var discard = slog.New(slog.DiscardHandler)

func Example_errorsPanicStack() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error {
			panic("index out of range")
		}, traigo.Name("parse"))
		return nil
	}, traigo.Name("app"), traigo.PanicAsError(), traigo.Logger(discard))
	text := fmt.Sprintf("%+v", err)
	fmt.Println(sameStacks(text))
	// Output:
	// scope "app":
	// 	task "app/parse" panicked: index out of range
	// 		goroutine 7 [running]:
	// 		… 6 frames of traigo and the runtime
	// 		main.run.func1.1(...)
	// 			main.go:17 +0x25
	// 		… 6 frames of traigo and the runtime
}

func Example_errorsGoexit() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error {
			runtime.Goexit() // what t.FailNow does
			return nil
		}, traigo.Name("check"))
		return nil
	}, traigo.Name("app"))
	fmt.Println(err, errors.Is(err, traigo.ErrGoexit))
	// Output:
	// scope "app": task "check": traigo: the function called runtime.Goexit true
}

func Example_errorsRefused() {
	s := traigo.New(ctx, traigo.Name("app"))
	_ = s.Close()
	task := s.Spawn(untilCanceled)
	fmt.Println(errors.Is(task.Err(), traigo.ErrRefused))
	fmt.Println(task.Err())
	// Output:
	// true
	// traigo: refused: scope "app" canceled: requested
}

func TestErrorsOfForks(t *testing.T) {
	log := inBubble(t, func(logger *slog.Logger) {
		err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			conn := s.Fork(traigo.Name("conn"))
			conn.Spawn(func(context.Context) error { return errReset }, traigo.Name("read"))
			conn.Finalize() // and nobody asks for its outcome
			return traigo.Sleep(ctx, time.Minute)
		}, traigo.Name("server"), traigo.Logger(logger))
		assert.NoError(t, err)
	})
	shows(t, `
level=ERROR msg="traigo: failed, and nobody has asked for the outcome" scope=server/conn err="scope \"server/conn\": task \"read\": connection reset"
`, log)
}

func TestErrorsSixteen(t *testing.T) {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		for range 20 {
			s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return errReset })
		}
		s.Cancel(errEnough)
		return nil
	})
	outcome, _ := errors.AsType[*traigo.Error](err)
	assert.Len(t, outcome.Others, 16)
	assert.Equal(t, 4, outcome.More)
	assert.Equal(t, 1, strings.Count(err.Error()+"\n", "\n"))
}
