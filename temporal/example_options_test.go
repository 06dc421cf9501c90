package temporal_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// inOneProcess runs body beside a worker of the queue, with a connection for both.
func inOneProcess(queue string, function temporal.WorkOption, body func(ctx context.Context, engine *temporal.Engine) error) {
	ctx := context.Background()
	engine, err := temporal.Connect(ctx)
	if err == nil {
		defer engine.Close()
		err = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				return temporal.Work(ctx, engine, queue, function)
			}, traigo.Awaited(false))
			return body(ctx, engine)
		})
	}
	if err != nil {
		fmt.Println(err)
	}
}

var errBusy = errors.New("the printer is busy")

// What may be tried again is known where the function is.
func ExampleRetry() {
	isBusy := func(err error) bool { return errors.Is(err, errBusy) }
	printPage := temporal.Func("print", func(ctx context.Context, page string) (string, error) {
		if attempt := temporal.Current(ctx).Number; attempt == 1 {
			return "", errBusy
		}
		return page + " is printed", nil
	}, temporal.Retry(3, isBusy))

	inOneProcess("printers", printPage, func(ctx context.Context, engine *temporal.Engine) error {
		return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			remote, err := temporal.Open(s, engine, "printers")
			if err != nil {
				return err
			}
			text, err := printPage.Run(ctx, remote, "page 1")
			fmt.Println(text)
			return err
		})
	})
	// Output: page 1 is printed
}

// A job that is run again under its id does what is left.
func ExampleResume() {
	add := temporal.Func("add", func(_ context.Context, name string) (int, error) {
		fmt.Println("adding", name)
		return len(name), nil
	})
	job := "inventory-" + rand.Text()[:8]

	inOneProcess("store", add, func(ctx context.Context, engine *temporal.Engine) error {
		inventory := func(names ...string) error { // in real life the program, which is started again
			return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				remote, err := temporal.Open(s, engine, "store", temporal.Resume(job))
				if err != nil {
					return err
				}
				sum := 0
				for _, name := range names {
					n, err := add.Run(ctx, remote, name)
					if err != nil {
						return err
					}
					sum += n
				}
				fmt.Println("sum:", sum)
				return nil
			})
		}
		if err := inventory("oats"); err != nil {
			return err
		}
		return inventory("oats", "barley")
	})
	// Output:
	// adding oats
	// sum: 4
	// adding barley
	// sum: 10
}

// The second attempt begins where the first has left off.
func ExampleAttempt_Save() {
	plough := temporal.Func("plough", func(ctx context.Context, rows int) (int, error) {
		attempt := temporal.Current(ctx)
		done := 0
		if _, err := attempt.Load(&done); err != nil {
			return 0, err
		}
		for ; done < rows; done++ {
			if done == 3 && attempt.Number == 1 {
				return 0, errors.New("a stone")
			}
			fmt.Println("row", done+1)
			if err := attempt.Save(done + 1); err != nil {
				return 0, err
			}
		}
		return done, nil
	}, temporal.Retry(1))

	inOneProcess("fields", plough, func(ctx context.Context, engine *temporal.Engine) error {
		return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			remote, err := temporal.Open(s, engine, "fields", temporal.Lease(time.Minute))
			if err != nil {
				return err
			}
			rows, err := plough.Run(ctx, remote, 5)
			fmt.Println("rows:", rows)
			return err
		})
	})
	// Output:
	// row 1
	// row 2
	// row 3
	// row 4
	// row 5
	// rows: 5
}
