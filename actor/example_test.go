//go:build linux

package actor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
	"github.com/traigo/traigo/live"
)

var (
	sum = actor.Func("sum", func(_ context.Context, numbers []int) (int, error) {
		total := 0
		for _, n := range numbers {
			total += n
		}
		return total, nil
	})

	open = actor.Func("open", func(_ context.Context, name string) (string, error) {
		text, err := os.ReadFile(name)
		return string(text), err
	})

	countdown = actor.Source("countdown", func(_ context.Context, from int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for n := from; n >= 0; n-- {
				if !yield(n, nil) {
					return
				}
			}
		}
	})

	// guess knows a number, and answers guesses until one is right.
	guess = actor.Dialog("guess", func(_ context.Context, secret int, started actor.Started[string, string, int]) (int, error) {
		peer, err := started("a number from 1 to 100")
		if err != nil {
			return 0, err
		}
		tries := 0
		for n, err := range peer.Items() {
			if err != nil {
				return tries, err
			}
			tries++
			answer := "right"
			if n < secret {
				answer = "more"
			} else if n > secret {
				answer = "less"
			}
			if err := peer.Send(answer); err != nil {
				return tries, err
			}
		}
		return tries, nil
	})

	whoami = actor.Func("whoami", func(context.Context, struct{}) (string, error) { return actor.Self().Path, nil })

	// nested starts an actor itself.
	nested = actor.Func("nested", func(ctx context.Context, name string) (string, error) {
		leaf, err := actor.Start(ctx, traigo.Current(ctx), name, actor.Expose(whoami))
		if err != nil {
			return "", err
		}
		return whoami.Run(ctx, leaf, struct{}{})
	})
)

func ExampleStart() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		math, err := actor.Start(ctx, s, "math", actor.Expose(sum))
		if err != nil {
			return err
		}
		n, err := sum.Run(ctx, math, []int{1, 2, 3})
		fmt.Println(math.ID().Path, "says", n)
		return err
	}) // the actor has ended
	fmt.Println(err)
	// Output:
	// root/math says 6
	// <nil>
}

func ExampleFunction_Spawn() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		one := sum.Spawn(s, []int{1, 2, 3}) // each in a process of its own
		two := sum.Spawn(s, []int{4, 5, 6})
		a, err := one.Await(ctx)
		if err != nil {
			return err
		}
		b, err := two.Await(ctx)
		fmt.Println(a, b)
		return err
	})
	fmt.Println(err)
	// Output:
	// 6 15
	// <nil>
}

func ExampleFunction_Run() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		files, err := actor.Start(ctx, s, "files", actor.Expose(open))
		if err != nil {
			return err
		}
		_, err = open.Run(ctx, files, "/no/such/file")
		fmt.Println(err)
		fmt.Println(errors.Is(err, fs.ErrNotExist))
		_, err = sum.Run(ctx, files, nil)
		fmt.Println(errors.Is(err, actor.ErrNotExposed))
		return nil
	})
	fmt.Println(err)
	// Output:
	// actor "root/files": open /no/such/file: no such file or directory
	// true
	// true
	// <nil>
}

func ExampleSequence_Run() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		rocket, err := actor.Start(ctx, s, "rocket", actor.Expose(countdown))
		if err != nil {
			return err
		}
		for n, err := range countdown.Run(ctx, rocket, 1_000_000_000) {
			if err != nil {
				return err
			}
			fmt.Println(n)
			if n < 999_999_999 {
				break // the function is canceled, and has returned then
			}
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// 1000000000
	// 999999999
	// 999999998
	// <nil>
}

func ExampleConversation_Run() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		host, err := actor.Start(ctx, s, "host", actor.Expose(guess))
		if err != nil {
			return err
		}
		tries, err := guess.Run(ctx, host, 77, func(_ context.Context, first string, peer *actor.Peer[int, string]) error {
			fmt.Println(first)
			low, high := 1, 100
			for {
				n := (low + high) / 2
				if err := peer.Send(n); err != nil {
					return err
				}
				answer, err := peer.Recv()
				fmt.Println(n, answer)
				switch {
				case err != nil:
					return err
				case answer == "more":
					low = n + 1
				case answer == "less":
					high = n - 1
				default:
					return nil // the function's loop ends, and it returns
				}
			}
		})
		fmt.Println(tries, "tries")
		return err
	})
	fmt.Println(err)
	// Output:
	// a number from 1 to 100
	// 50 more
	// 75 more
	// 88 less
	// 81 less
	// 78 less
	// 76 more
	// 77 right
	// 7 tries
	// <nil>
}

func ExampleSelf() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		mid, err := actor.Start(ctx, s, "mid", actor.Expose(nested))
		if err != nil {
			return err
		}
		path, err := nested.Run(ctx, mid, "leaf")
		fmt.Println(path)
		return err
	})
	fmt.Println(err)
	// Output:
	// root/mid/leaf
	// <nil>
}

func ExampleFind() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		if _, err := actor.Start(ctx, s, "math", actor.Expose(sum), actor.Findable()); err != nil {
			return err
		}
		math, err := actor.Find(ctx, s, "math") // in any process of the tree
		if err != nil {
			return err
		}
		n, err := sum.Run(ctx, math, []int{20, 22})
		fmt.Println(n)
		_, notThere := actor.Find(ctx, s, "physics")
		fmt.Println(errors.Is(notThere, actor.ErrNotFound))
		return err
	})
	fmt.Println(err)
	// Output:
	// 42
	// true
	// <nil>
}

func ExampleActor_Kill() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		a, err := actor.Start(ctx, s, "worker", actor.Expose(sum))
		if err != nil {
			return err
		}
		a.Kill()
		fmt.Println(a.Wait(ctx)) // it has ended because this process has wanted it
		_, err = sum.Run(ctx, a, []int{1})
		var gone *actor.GoneError
		fmt.Println(errors.As(err, &gone), gone.Actor.Name())
		return nil
	})
	fmt.Println(err)
	// Output:
	// <nil>
	// true worker
	// <nil>
}

func ExampleSnapshot() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		a, err := actor.Start(ctx, s, "mid", actor.Expose(nested))
		if err != nil {
			return err
		}
		if _, err := nested.Run(ctx, a, "leaf"); err != nil {
			return err
		}
		shot, err := actor.Snapshot(ctx, s)
		mid := shot.Scopes[0]
		leaf := mid.Scopes[0]
		fmt.Println(shot.Path, mid.Path, leaf.Path)
		fmt.Println(mid.Pid == a.ID().Pid, leaf.Pid != mid.Pid)
		return err
	}, traigo.Name("main"))
	fmt.Println(err)
	// Output:
	// main main/mid main/mid/leaf
	// true true
	// <nil>
}

func ExampleShare() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		begin, finished := make(chan struct{}), make(chan struct{})
		shared := actor.Share(s, func(yield func(string, error) bool) {
			defer close(finished)
			<-begin
			for _, text := range []string{"one", "two", "three"} {
				if !yield(text, nil) {
					return
				}
			}
		}, 2) // a reader has two items at most that it has not taken
		slow := shared.Items(ctx)
		close(begin)
		<-finished
		for text, err := range slow {
			if lagged, ok := errors.AsType[*actor.LaggedError](err); ok {
				fmt.Println(lagged.Missed, "missed")
				continue
			}
			fmt.Println(text)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// 1 missed
	// two
	// three
	// <nil>
}

// The live page of a tree of processes.
func ExampleSnapshot_live() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		if _, err := actor.Start(ctx, s, "mid"); err != nil {
			return err
		}
		mux := http.NewServeMux()
		live.RegisterFunc(mux, actor.Snapshot, s)

		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, "/debug/scopes/?format=text", nil))
		fmt.Println(strings.Contains(answer.Body.String(), "mid (open, "), strings.Contains(answer.Body.String(), "process "))
		return nil
	}, traigo.Name("main"))
	fmt.Println(err)
	// Output:
	// true true
	// <nil>
}
