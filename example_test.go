package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/traigo/traigo"
)

// Three tasks, three owners: nobody waits for the heartbeat, the body waits for
// the size, and the scope answers for the upload.
func Example() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		// The heartbeat runs until the rest has ended. Then it is canceled and joined.
		s.Spawn(heartbeat, traigo.Awaited(false))

		// An error of measure comes out of Await, and cancels nothing.
		size := traigo.Async(s, func(ctx context.Context) (int, error) {
			return measure(ctx, "photos")
		})
		n, err := size.Await(ctx)
		if err != nil {
			return err
		}
		fmt.Println("uploading", n, "bytes")

		// If upload fails, everything in the scope is canceled.
		s.Spawn(func(ctx context.Context) error {
			return upload(ctx, "photos")
		}, traigo.Name("upload"))
		return nil // Run returns when all of them have ended
	}, traigo.Name("backup"), traigo.Timeout(10*time.Second))

	fmt.Println(err)
	// Output:
	// uploading 4096 bytes
	// scope "backup": task "upload": connection reset
}

// heartbeat runs until it is canceled.
func heartbeat(ctx context.Context) error {
	for traigo.Sleep(ctx, time.Second) == nil {
		fmt.Println("still here")
	}
	return nil
}

func measure(context.Context, string) (int, error) { return 4096, nil }

func upload(context.Context, string) error { return errors.New("connection reset") }
