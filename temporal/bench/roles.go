package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	sdk "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

const (
	queue     = "bench"
	bareQueue = "bench-bare"
	lease     = 30 * time.Second // where nobody is killed
	atOnce    = 100              // tasks, or activities, of a worker
	reaped    = 4                // tasks of a scope that is canceled, or whose owner is killed
)

func say(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }

// play is main in a role.
func play(role string) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	err := map[string]func(context.Context) error{"worker": work, "owner": own}[role](ctx)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		return 1
	}
	return 0
}

// What runs with traigo.
var (
	double = temporal.Func("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })

	// until says when it begins, and the time at which its context ends.
	until = temporal.Func("until", func(ctx context.Context, key string) (int, error) {
		say("began %s;", key)
		<-ctx.Done()
		say("done %s; %d", key, time.Now().UnixNano())
		return 0, context.Cause(ctx)
	})
)

// bare is the same as double, by hand.
func bare(ctx workflow.Context, n int) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour,
		HeartbeatTimeout:    lease,
		RetryPolicy:         &sdk.RetryPolicy{InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 1},
	})
	var out int
	err := workflow.ExecuteActivity(ctx, "double", n).Get(ctx, &out)
	return out, err
}

// work is a worker, for both.
func work(ctx context.Context) error {
	c, err := dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, bareQueue, worker.Options{MaxConcurrentActivityExecutionSize: atOnce})
	w.RegisterWorkflowWithOptions(bare, workflow.RegisterOptions{Name: "bare"})
	w.RegisterActivityWithOptions(
		func(_ context.Context, n int) (int, error) { return 2 * n, nil }, activity.RegisterOptions{Name: "double"})
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	e, err := temporal.Connect(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	say("ready")
	return temporal.Work(ctx, e, queue, double, until, temporal.Slots(atOnce))
}

// dial makes a client, by hand.
func dial(ctx context.Context) (client.Client, error) {
	return client.DialContext(ctx, client.Options{HostPort: os.Getenv("TEMPORAL_ADDRESS"), Logger: quiet{}})
}

type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

var _ log.Logger = quiet{}

// own is an owner that is killed.
func own(ctx context.Context) error {
	d, err := time.ParseDuration(os.Getenv("TRAIGO_BENCH_LEASE"))
	if err != nil {
		return err
	}
	e, err := temporal.Connect(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue, temporal.Lease(d))
		if err != nil {
			return err
		}
		for i := range reaped {
			until.Spawn(r, fmt.Sprintf("%s-%d", os.Getenv("TRAIGO_BENCH_KEY"), i))
		}
		return nil
	})
}
