package guide_test

import (
	"context"
	"fmt"
	"time"

	"github.com/traigo/traigo"
)

func Example_fromTraioScope() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(heartbeat, traigo.Awaited(false))
		size := traigo.Async(s, measure)
		n, err := size.Await(ctx)
		if err != nil {
			return err
		}
		s.Spawn(func(ctx context.Context) error { return send(ctx, n) })
		return nil
	}, traigo.Name("backup"), traigo.Timeout(10*time.Second))
	fmt.Println(err)
	// Output:
	// sent 4096 bytes
	// <nil>
}

func heartbeat(ctx context.Context) error       { return untilCanceled(ctx) }
func measure(context.Context) (int, error)      { return 4096, nil }
func send(_ context.Context, n int) (err error) { _, err = fmt.Println("sent", n, "bytes"); return err }

func Example_fromTraioOwner() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		task := s.Spawn(pushMetrics)
		if err := task.Wait(ctx); err != nil {
			fmt.Println("handled:", err)
		}
		return nil
	}, traigo.Name("app"))
	fmt.Println(err)
	// Output:
	// handled: metrics server is offline
	// scope "app": task "pushMetrics": metrics server is offline
}
