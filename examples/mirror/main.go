// Mirror downloads files, each from the first of three mirrors to answer. The program
// starts the mirrors itself, on the loopback interface: one is slow, one lacks some files,
// and one fails now and then and is restarted.
//
//	go run ./examples/mirror [-files n]
//
// Ctrl-C ends it gracefully: the downloads that have begun are finished, and no others
// begin. A second Ctrl-C cancels them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
	"github.com/traigo/traigo/supervise"
)

func main() {
	files := flag.Int("files", 200, "how many to download")
	flag.Parse()
	serve.Main(func(ctx context.Context, app *traigo.Scope) error {
		return run(ctx, app, os.Stdout, *files)
	}, traigo.Name("mirror"))
}

// run starts the mirrors and downloads the files. The mirrors are not awaited, so they are
// stopped when the download has ended.
func run(ctx context.Context, app *traigo.Scope, out io.Writer, files int) error {
	mirrors := []*mirror{
		{name: "far", delay: 100 * time.Millisecond},
		{name: "forgetful", delay: 40 * time.Millisecond, forgets: "7"},
		{name: "shaky", delay: 10 * time.Millisecond, fallsOver: "9"},
	}
	for _, m := range mirrors {
		_, err := app.Start(ctx, func(ctx context.Context, ready func()) error {
			again := supervise.Restart(func(ctx context.Context) error { return m.serve(ctx, ready) })
			return again(ctx)
		}, traigo.Name(m.name), traigo.Awaited(false))
		if err != nil {
			return err
		}
	}
	return download(ctx, out, mirrors, files)
}

// download downloads four files at a time, until Stopping is closed.
func download(ctx context.Context, out io.Writer, mirrors []*mirror, files int) error {
	from, err := traigo.Map(ctx, names(ctx, files), func(ctx context.Context, file string) (string, error) {
		var fetches []func(context.Context) (string, error)
		for _, m := range mirrors {
			fetches = append(fetches, func(ctx context.Context) (string, error) { return m.name, m.fetch(ctx, file) })
		}
		return traigo.Race(ctx, fetches...)
	}, traigo.Limit(4))
	served := map[string]int{}
	for _, name := range from {
		served[name]++
	}
	fmt.Fprintf(out, "%d of %d files, by mirror: %v\n", len(from), files, served)
	return err
}

func names(ctx context.Context, files int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range files {
			select {
			case <-traigo.Stopping(ctx):
				return
			default:
			}
			if !yield(fmt.Sprintf("file-%02d", i)) {
				return
			}
		}
	}
}

// A mirror is a server with a delay, and two of the three have a fault.
type mirror struct {
	name, forgets, fallsOver string
	delay                    time.Duration
	address                  string // set by its first start
}

func (m *mirror) serve(ctx context.Context, ready func()) error {
	address := m.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if m.address == "" {
		m.address = listener.Addr().String()
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file := strings.TrimPrefix(r.URL.Path, "/")
		switch {
		case traigo.Sleep(r.Context(), m.delay) != nil: // another mirror was first
		case m.forgets != "" && strings.HasSuffix(file, m.forgets):
			http.NotFound(w, r)
		case m.fallsOver != "" && strings.HasSuffix(file, m.fallsOver):
			listener.Close()
		default:
			fmt.Fprintln(w, "this is", file)
		}
	})}
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		}, traigo.Name("accept"))
		ready()
		<-ctx.Done()
		return traigo.Shield(ctx, time.Second, server.Shutdown)
	}, traigo.Name("serve"))
}

func (m *mirror) fetch(ctx context.Context, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.address+"/"+file, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if want := "this is " + file + "\n"; err == nil && string(text) != want {
		return fmt.Errorf("%s from %s: %s, %q", file, m.name, response.Status, text)
	}
	return err
}
