package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/traigo/traigo"
)

// The same work by hand and in a scope. What the first function leaves behind are goroutines
// that nobody waits for.
func Example_byHand() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	servers := []string{"db1", "db2", "db3"}
	fmt.Println(statusByHand(ctx, servers))
	fmt.Println(status(ctx, servers))
	// Output:
	// connection refused
	// scope "status": task "db2": connection refused
}

func statusByHand(ctx context.Context, servers []string) error {
	errs := make(chan error)
	for _, server := range servers {
		go func() { errs <- ask(ctx, server) }()
	}
	for range servers {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func status(ctx context.Context, servers []string) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		for _, server := range servers {
			s.Spawn(func(ctx context.Context) error {
				return ask(ctx, server)
			}, traigo.Name(server))
		}
		return nil
	}, traigo.Name("status"))
}

// ask fails at once for db2. The other servers are slow.
func ask(ctx context.Context, server string) error {
	if server == "db2" {
		return errors.New("connection refused")
	}
	return traigo.Sleep(ctx, time.Hour)
}

// If one of the tasks fails, the other is canceled.
func Example_run() {
	fetch := func(context.Context) error { return nil }
	store := func(context.Context) error { return errors.New("disk full") }
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(fetch)
		s.Spawn(store, traigo.Name("store"))
		return nil
	}, traigo.Name("sync"))
	fmt.Println(err)
	// Output: scope "sync": task "store": disk full
}

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
