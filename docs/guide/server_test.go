//go:build unix

package guide_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

func TestServerProgram(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), build(t, programOf(t, "server.md", 0)), "127.0.0.1:0")
	stderr := new(strings.Builder)
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(stdout)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	url := strings.TrimSpace(strings.TrimPrefix(first, "listening on "))
	reply, err := get(url + "/hello/Ann")
	assert.NoError(t, err)
	assert.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(lines)
	assert.NoError(t, err)
	err = cmd.Wait()
	assert.NoError(t, err)
	assert.Empty(t, stderr.String())

	_, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	text := fmt.Sprintf("$ ./server 127.0.0.1:8080 &\n%s$ curl %s/hello/Ann\n%s$ kill %%1\n%s", first, url, reply, rest)
	shows(t, `
$ ./server 127.0.0.1:8080 &
listening on http://127.0.0.1:8080
$ curl http://127.0.0.1:8080/hello/Ann
Hello, Ann
$ kill %1
mailed: Ann was here
`, strings.ReplaceAll(text, port, "8080"))
}

// serving runs body with a server for handler, as the programs of the page do, and shuts it
// down when body has returned.
func serving(handler http.Handler, body func(url string, s *traigo.Scope), opts ...traigo.ScopeOption) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := traigo.New(ctx, append(opts, traigo.Name("app"))...)
	serve.HTTP(s, &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}, l)
	body("http://"+l.Addr().String(), s)
	return s.Shutdown(ctx)
}

func Example_serverRequest() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, r *http.Request) {
		parts, err := traigo.All(r.Context(), header, articles)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, strings.Join(parts, ", "))
	})
	err := serving(mux, func(url string, _ *traigo.Scope) { fmt.Println(get(url + "/page")) })
	fmt.Println(err)
	// Output:
	// scope "app/requests/All": task "articles[1]": connection reset
	//  <nil>
	// <nil>
}

func header(ctx context.Context) (string, error) { return "", untilCanceled(ctx) }
func articles(context.Context) (string, error)   { return "", errReset }

func Example_serverTree() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, traigo.Current(r.Context()).Root().Snapshot())
	})
	_ = serving(mux, func(url string, _ *traigo.Scope) {
		tree, _ := get(url + "/page")
		fmt.Print(sameTimes(tree))
	})
	// Output:
	// app (open, 1ms)
	// └─ • http (running, 1ms)
	//    └─ requests (open, 1ms)
	//       └─ • GET /page (running, 1ms, no bubble)
}

func Example_serverAwaited() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &http.Server{Handler: http.NotFoundHandler()}
	url := "http://" + l.Addr().String()
	work := func(context.Context) error {
		text, err := get(url)
		fmt.Print(text)
		return err
	}
	err = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		serve.HTTP(s, srv, l, traigo.Awaited(false))
		s.Spawn(work) // when this has ended, so does the server
		return nil
	})
	fmt.Println(err)
	_, err = get(url)
	fmt.Println(err != nil)
	// Output:
	// 404 page not found
	// <nil>
	// true
}

func Example_serverOwner() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		serve.RequestScope(r).Spawn(func(ctx context.Context) error {
			return mail(ctx, "order 17")
		}, traigo.Name("mail"), traigo.OnDone(func(err error) {
			if err != nil {
				fmt.Println("not mailed:", err)
			}
		}))
		w.WriteHeader(http.StatusAccepted)
	})
	err := serving(mux, func(url string, _ *traigo.Scope) {
		resp, err := http.Post(url+"/orders", "", nil)
		if err == nil {
			fmt.Println(resp.Status)
			resp.Body.Close()
		}
	})
	fmt.Println(err)
	// Unordered output:
	// 202 Accepted
	// not mailed: connection reset
	// <nil>
}

func mail(context.Context, string) error { return errReset }

func Example_serverNoOwner() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		serve.RequestScope(r).Spawn(func(ctx context.Context) error {
			return mail(ctx, "order 17")
		}, traigo.Name("mail"))
		w.WriteHeader(http.StatusAccepted)
	})
	err := serving(mux, func(url string, _ *traigo.Scope) {
		resp, err := http.Post(url+"/orders", "", nil)
		if err == nil {
			resp.Body.Close()
		}
	})
	fmt.Println(err)
	// Output:
	// scope "app/requests": task "mail": connection reset
}

func Example_serverStream() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ticks", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		for {
			fmt.Fprintln(w, "tick")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Second):
			case <-traigo.Stopping(ctx): // the server is shut down: say goodbye
				fmt.Fprintln(w, "bye")
				return
			case <-ctx.Done(): // the client has gone, or the server was canceled
				return
			}
		}
	})
	var stream io.ReadCloser
	err := serving(mux, func(url string, _ *traigo.Scope) {
		if resp, err := http.Get(url + "/ticks"); err == nil {
			stream = resp.Body
		}
	})
	defer stream.Close()
	text, _ := io.ReadAll(stream)
	fmt.Print(string(text))
	fmt.Println(err)
	// Output:
	// tick
	// bye
	// <nil>
}

func Example_serverPanic() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bug", func(http.ResponseWriter, *http.Request) {
		panic("index out of range")
	})
	mux.HandleFunc("GET /ok", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "still here")
	})
	err := serving(mux, func(url string, _ *traigo.Scope) {
		_, err := get(url + "/bug")
		fmt.Println(errors.Is(err, io.EOF))
		fmt.Println(get(url + "/ok"))
	})
	fmt.Println(err)
	// Output:
	// true
	// still here <nil>
	// <nil>
}

func Example_serverStuck() {
	release := make(chan struct{})
	entered := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /slow", func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-release // does not look at its context
	})
	err := serving(mux, func(url string, s *traigo.Scope) {
		go func() { _, _ = get(url + "/slow") }()
		<-entered
		s.Cancel(errors.New("no more time"))
	}, traigo.CancelTimeout(10*time.Millisecond))
	if stuck, ok := errors.AsType[*traigo.StuckError](err); ok {
		fmt.Println(stuck.Tasks[0].Path)
	}
	close(release)
	// Output:
	// app/requests/GET /slow
}

// echo serves each connection in a fork of s.
func echo(ctx context.Context, s *traigo.Scope, l net.Listener) error {
	// Accept does not know ctx: it returns when the listener is closed.
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		c := s.Fork(traigo.Name("conn"))
		_, ok := c.TrySpawn(func(ctx context.Context) error {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			_, err := io.Copy(conn, conn)
			return err
		}, traigo.Name("echo"), traigo.OnDone(logFailure))
		if !ok {
			conn.Close() // s has ended meanwhile: the function will not do it
		}
		c.Finalize() // it ends when its tasks have ended
	}
}

func logFailure(err error) {
	if err != nil {
		fmt.Println("conn:", err)
	}
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }

func Example_serverTCP() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.Spawn(func(ctx context.Context) error {
			return echo(ctx, s, l)
		}, traigo.Name("accept"), traigo.Awaited(false))

		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		defer conn.Close()
		fmt.Fprintln(conn, "hello")
		line, err := bufio.NewReader(conn).ReadString('\n')
		fmt.Print(line)
		return err
	}, traigo.Name("echo server"), traigo.CanceledIf(isClosed))
	fmt.Println(err)
	// Output:
	// hello
	// <nil>
}
