package live_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

// curl returns the tree as text. All ages in it are 1s, and what tasks wait for is left out, or
// it would differ each time.
func curl(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	tree, _, _ := strings.Cut(string(text), "\nwaiting at the same place:")
	tree = regexp.MustCompile(`, [^,()]+ at \w+\.go:\d+(, ≥ \w+)?`).ReplaceAllString(tree, "")
	return regexp.MustCompile(`[0-9.]+(µs|ms|s)\b`).ReplaceAllString(tree, "1s")
}

func serve(s *traigo.Scope) {
	s.Spawn(waitHere, traigo.Name("accept"), traigo.Master(true))
	for range 240 {
		conn := s.Fork(traigo.Name("conn"))
		_, _ = conn.Start(context.Background(), func(ctx context.Context, ready func()) error {
			ready()
			return untilCanceled(ctx)
		}, traigo.Name("read"))
	}
}

func ExampleRegister() {
	server := traigo.New(context.Background(), traigo.Name("server"))
	serve(server)

	mux := http.NewServeMux()
	live.Register(mux, server)

	debug := httptest.NewServer(mux) // in earnest: http.ListenAndServe("localhost:6060", mux)
	fmt.Println(curl(debug.URL + "/debug/scopes"))
	debug.Close()
	_ = server.Close()
	// Output:
	// 241 scopes, 241 tasks
	//
	// server (open, 1s)
	// ├─ • accept (running, 1s, master)
	// └─ conn [×240] (open, 1s to 1s)
	//    └─ • read [×240] (running, 1s to 1s, ready)
}

// A Handler can be mounted at any path.
func ExampleHandler() {
	server := traigo.New(context.Background(), traigo.Name("server"))
	conn := server.Fork(traigo.Name("conn"))

	mux := http.NewServeMux()
	mux.Handle("/admin/tree/", http.StripPrefix("/admin/tree", live.Handler(server)))

	debug := httptest.NewServer(mux)
	fmt.Println(curl(debug.URL + "/admin/tree/?path=" + conn.Path()))
	debug.Close()
	_ = server.Close()
	// Output:
	// 2 scopes, 0 tasks
	//
	// conn (open, 1s)
}

// A Tracker shows the roots that are opened with it, and remembers those that have failed.
func ExampleTracker() {
	var scopes live.Tracker
	debug := httptest.NewServer(&scopes)

	work := func(_ context.Context, s *traigo.Scope) error {
		fmt.Println(curl(debug.URL))
		return fmt.Errorf("out of paper")
	}
	_ = traigo.Run(context.Background(), work, traigo.Name("print"), traigo.Observe(&scopes))

	fmt.Println(curl(debug.URL))
	debug.Close()
	// Output:
	// 1 scope, 0 tasks
	//
	// print (open, 1s)
	//
	// 0 scopes, 0 tasks
	//
	// 1 scope has failed:
	//   1s ago, after 1s: print: scope "print": out of paper
}

// Scopes of other processes come from a function. With traigo's module actor that is
// live.HandlerFunc(actor.Snapshot, server).
func ExampleHandlerFunc() {
	server := traigo.New(context.Background(), traigo.Name("server"))
	server.Spawn(waitHere, traigo.Name("worker"))

	take := func(_ context.Context, s *traigo.Scope) (traigo.Snapshot, error) {
		shot := s.Snapshot()
		task := shot.Tasks[0] // stands for another process, which is asked for its scopes
		shot.Scopes = append(shot.Scopes, traigo.Snapshot{
			ID: 72<<32 | 1, Name: "worker", Path: task.Path, Pid: 72, Parent: shot.ID, Task: task.ID, Opened: time.Now(),
		})
		return shot, errors.New("the actor server/mailer (pid 73) has not answered")
	}
	debug := httptest.NewServer(live.HandlerFunc(take, server))
	fmt.Println(curl(debug.URL))
	debug.Close()
	_ = server.Close()
	// Output:
	// 2 scopes, 1 task
	//
	// the actor server/mailer (pid 73) has not answered
	//
	// server (open, 1s)
	// └─ • worker (running, 1s)
	//    └─ worker (open, 1s, process 72)
}
