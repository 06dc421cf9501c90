//go:build unix

package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

// ask returns the body of a response.
func ask(url string) string {
	res, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// A handler runs as a task that is named after its route. What it does at once with others it
// does in a scope of its own, which ends when the client goes away.
func ExampleHTTP() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		parts, err := traigo.All(r.Context(),
			func(context.Context) (string, error) { return "order " + r.PathValue("id"), nil },
			func(context.Context) (string, error) { return "3 teas", nil },
		)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, parts[0]+": "+parts[1], "by", traigo.CurrentTask(r.Context()).Path())
	})

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := traigo.New(context.Background(), traigo.Name("shop"))
	serve.HTTP(s, &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}, l)
	fmt.Print(ask("http://" + l.Addr().String() + "/orders/17"))

	// No more requests; those that run may take another 10 s.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("the end:", s.Shutdown(ctx))
	// Output:
	// order 17: 3 teas by shop/requests/GET /orders/{id}
	// the end: <nil>
}

// A handler leaves work behind that the response does not wait for. The server does.
func ExampleRequestScope() {
	mail := func(context.Context) error {
		time.Sleep(time.Millisecond)
		fmt.Println("the mail is sent")
		return nil
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		// Bubble(false): a mail that cannot be sent does not end the server.
		serve.RequestScope(r).Spawn(mail, traigo.Bubble(false))
		fmt.Fprintln(w, "thank you")
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := traigo.New(context.Background())
	serve.HTTP(s, &http.Server{Handler: http.HandlerFunc(handler)}, l)
	answer := ask("http://" + l.Addr().String())
	err = s.Shutdown(context.Background())
	fmt.Print(answer)
	fmt.Println("the end:", err)
	// Output:
	// the mail is sent
	// thank you
	// the end: <nil>
}

// The first signal asks the tasks to stop. One that does not is canceled when the grace period is
// over.
func ExampleSignals() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		serve.Signals(s, 10*time.Millisecond)
		one := s.Spawn(func(ctx context.Context) error {
			<-traigo.Stopping(ctx)
			fmt.Println("one task stops")
			return nil
		})
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			<-one.Done()
			fmt.Println("the other one is canceled")
			return ctx.Err()
		})
		return syscall.Kill(os.Getpid(), syscall.SIGTERM) // as `kill` does
	}, traigo.Name("program"))
	fmt.Println(err)
	var bySignal *serve.SignalError
	fmt.Println(errors.As(err, &bySignal), bySignal.Signal)
	// Output:
	// one task stops
	// the other one is canceled
	// scope "program": signal: terminated: the grace period of 10ms is over
	// true terminated
}

// A whole program. At Ctrl-C it lets its work end, and exits with status 0.
func ExampleMain() {
	serve.Main(func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-traigo.Stopping(ctx)
			fmt.Println("the work is done")
			return nil
		})
		return syscall.Kill(os.Getpid(), syscall.SIGINT) // as Ctrl-C does
	}, serve.Grace(time.Minute))
	fmt.Println("main returns")
	// Output:
	// the work is done
	// main returns
}
