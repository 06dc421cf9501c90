package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/cmd/traigo/internal/demo"
	"github.com/traigo/traigo/cmd/traigo/internal/screen"
	"github.com/traigo/traigo/live"
	"github.com/traigo/traigo/record"
)

var demoCommand = command{
	name: "demo", args: "[-for D] [-addr A] [-o DIR] [-open]",
	does: "run a program that is worth watching, and make a page of it",
	about: `Runs a small TCP service and clients that put it under load. Says what to look out
for, draws the tree of its scopes as it changes, serves the live page, records
everything, and ends with a page of the whole run. Interrupt it when you have seen
enough.
`,
	run: runDemo,
}

func runDemo(ctx context.Context, env *environment, args []string) error {
	length := env.flags.Duration("for", 10*time.Second, "how long the clients keep on")
	addr := env.flags.String("addr", "127.0.0.1:0", "the `address` of the live page; port 0 picks a free one")
	dir := env.flags.String("o", "", "the `directory` for what is written; without it a new one for temporary files")
	open := env.flags.Bool("open", false, "open the page in a browser at the end, if there is a desktop")
	if err := env.flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if env.flags.NArg() > 0 {
		fmt.Fprintf(env.stderr, "traigo demo: it takes flags only, not %q\n\n", env.flags.Arg(0))
		env.flags.Usage()
		return errUsage
	}
	if *length <= 0 {
		fmt.Fprintf(env.stderr, "traigo demo: -for %v: it has to run for some time\n\n", *length)
		env.flags.Usage()
		return errUsage
	}
	made := *dir == ""
	if err := makeDirectory(dir); err != nil {
		return err
	}

	// The other commands keep the usual effect of a signal: they may be blocked by a pipe.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // so that a second signal kills the program

	// A program needs these lines to be recorded, and to have a live page.
	log := filepath.Join(*dir, "run.jsonl")
	rec, err := record.Create(log)
	if err != nil {
		return err
	}
	failures, scopes := newFailures(*dir+string(filepath.Separator)), new(live.Tracker)
	s := traigo.New(ctx, traigo.Name("demo"), traigo.Observe(rec), traigo.Observe(failures), traigo.Observe(scopes))
	page, err := serveLive(ctx, *addr, scopes)
	if err != nil {
		err = errors.Join(err, s.Close(), rec.Close())
		if made {
			err = errors.Join(err, os.RemoveAll(*dir)) // the recording in it is empty
		}
		return err
	}

	d := &demo.Demo{Duration: *length, Dir: *dir}
	pic := &picture{title: d.Title(), url: page.url, lookOut: d.LookOut(), failures: failures, scope: s}
	// An interrupt cancels the demo. The page and the drawing show how it ends, and only then
	// end too.
	err = traigo.Run(context.WithoutCancel(ctx), func(_ context.Context, own *traigo.Scope) error {
		own.Spawn(page.serve, traigo.Awaited(false))
		if f, ok := env.stdout.(*os.File); ok {
			pic.screen, _ = screen.On(f)
		}
		if pic.screen == nil {
			fmt.Fprintf(env.stdout, "%s\nlive page  %s\n%s\n\n", pic.title, page.url, strings.Join(pic.lookOut, "\n"))
		}
		own.Spawn(pic.follow, traigo.Awaited(false))
		if err := d.Start(ctx, s); err != nil {
			return err
		}
		_ = s.Wait() // the failures of the demo are shown, and are no failure of the command
		return nil
	})
	_ = s.Close()
	pic.write(env.stdout)
	return errors.Join(err, rec.Close(), showRun(ctx, env, d, log, *open))
}

// makeDirectory makes the directory *dir, or a new temporary one if it is "".
func makeDirectory(dir *string) (err error) {
	if *dir != "" {
		return os.MkdirAll(*dir, 0o755)
	}
	*dir, err = os.MkdirTemp("", "traigo-demo-")
	return err
}

// A livePage serves the live page on an address of its own.
type livePage struct {
	url    string
	ln     net.Listener
	server *http.Server
}

// serveLive returns a live page that listens, and still has to be served.
func serveLive(ctx context.Context, addr string, scopes http.Handler) (*livePage, error) {
	mux := http.NewServeMux()
	mux.Handle("/debug/scopes/", scopes)
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("the live page: %w; -addr takes another address", err)
	}
	return &livePage{
		url:    "http://" + ln.Addr().String() + "/debug/scopes/",
		ln:     ln,
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second},
	}, nil
}

// serve serves the page until ctx is done.
func (p *livePage) serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { p.server.Close() })()
	if err := p.server.Serve(p.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// showRun makes the page of the run, and says where recording and page are.
func showRun(ctx context.Context, env *environment, d *demo.Demo, log string, open bool) error {
	to, err := env.makePage("", log)
	if err != nil {
		return err
	}
	page := to.name
	fmt.Fprintf(env.stdout, "\n%s.\n\nrecording  %s\npage       %s\n", d.Summary(), log, page)
	if open && openInBrowser(ctx, page) {
		return nil
	}
	fmt.Fprintf(env.stdout, "open it    %s\n", urlOf(page))
	fmt.Fprintf(env.stdout, "as text    %s tree %s\n", self(), log)
	return nil
}

// self returns the command by which this program was started: by "go run", or by the path or
// name of its binary.
func self() string {
	const pkg = "cmd/traigo"
	binary, err := os.Executable()
	if err != nil {
		return "traigo"
	}
	if strings.Contains(filepath.ToSlash(binary), "/go-build") { // a temporary binary of go run
		if _, err := os.Stat(filepath.FromSlash(pkg)); err == nil {
			return "go run ./" + pkg
		}
		return "go run github.com/traigo/traigo/" + pkg + "@latest"
	}
	name := filepath.Base(os.Args[0])
	if found, err := exec.LookPath(name); err == nil && isSame(found, binary) {
		return name
	}
	return os.Args[0]
}

func isSame(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}
