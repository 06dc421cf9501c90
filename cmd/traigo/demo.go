package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	about: `Runs a small TCP service and clients that put it under load. Draws the tree of its
scopes as it changes, serves the live page, records everything, and ends with a page
of the whole run. Interrupt it when you have seen enough.
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

	// A program needs these lines to be recorded, and to have a live page.
	log := filepath.Join(*dir, "run.jsonl")
	rec, err := record.Create(log)
	if err != nil {
		return err
	}
	failures, scopes := newFailureLog(env.stdout), new(live.Tracker)
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
	// An interrupt cancels the demo. The page and the drawing show how it ends, and only then
	// end too.
	err = traigo.Run(context.WithoutCancel(ctx), func(_ context.Context, own *traigo.Scope) error {
		fmt.Fprintf(env.stdout, "live page  %s (while it runs: %v)\n", page.url, *length)
		own.Spawn(page.serve, traigo.Awaited(false))
		if f, ok := env.stdout.(*os.File); ok {
			if scr, ok := screen.On(f); ok {
				failures.keepForScreen()
				own.Spawn(drawTree(scr, page.url, failures), traigo.Awaited(false))
			}
		}
		if err := d.Start(ctx, s); err != nil {
			return err
		}
		_ = s.Wait() // the failures of the demo are shown, and are no failure of the command
		return nil
	})
	_ = s.Close()
	failures.writeKept()
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

// drawTree returns a task that draws the latest failures, and the tree below them, four
// times a second. The tree is the text of the live page, as any client gets it.
func drawTree(scr *screen.Screen, url string, failures *failureLog) func(context.Context) error {
	return func(ctx context.Context) error {
		defer scr.Clear()
		for ctx.Err() == nil {
			if tree, err := liveText(ctx, url); err == nil {
				scr.Draw(paint(failures.last(5) + "\n" + tree))
			}
			_ = traigo.Sleep(ctx, 250*time.Millisecond)
		}
		return nil
	}
}

// withoutProxy is for the live page: a proxy may be set up for its address, but need not
// reach it.
var withoutProxy = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// liveText returns the text of the live page.
func liveText(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?format=text", http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := withoutProxy.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
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
	fmt.Fprintf(env.stdout, "as text    go run ./cmd/traigo tree %s\n", log)
	return nil
}

// A failureLog is an observer that writes a line for each scope that fails or times out. On
// a terminal it keeps the lines instead, for the screen and for the end.
type failureLog struct {
	began time.Time
	out   io.Writer

	mu    sync.Mutex // guards the fields below
	kept  bool       // lines are kept, and not written
	lines []string   // the last maxKept
}

const maxKept = 20 // more lines are not worth reading at the end of a long demo

func newFailureLog(out io.Writer) *failureLog { return &failureLog{began: time.Now(), out: out} }

// keepForScreen makes l keep lines from now on, for last and writeKept.
func (l *failureLog) keepForScreen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = true
}

// writeKept writes the lines that were kept.
func (l *failureLog) writeKept() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		fmt.Fprintln(l.out, line)
	}
}

// last returns the last n lines that were kept. If there are fewer, empty lines follow, so
// that the tree below does not move.
func (l *failureLog) last(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines[max(0, len(l.lines)-n):]
	return strings.Join(lines, "\n") + strings.Repeat("\n", n-len(lines))
}

// Observe adds a line for a scope that fails or times out.
func (l *failureLog) Observe(e traigo.Event) {
	var why *traigo.Cancellation
	if e.Kind != traigo.ScopeCanceled || !errors.As(e.Err, &why) {
		return
	}
	switch why.Kind {
	case traigo.TimedOut:
		l.add(e, "ran out of time")
	case traigo.TaskFailed:
		l.add(e, fmt.Sprintf("failed: its task %s returned “%v”", e.Scope.CanceledBy().Name(), why.Err))
	case traigo.BodyFailed, traigo.Panicked:
		l.add(e, fmt.Sprintf("failed: %v", why.Err))
	case traigo.Requested, traigo.ParentCanceled, traigo.MasterEnded, traigo.Completed:
	}
}

func (l *failureLog) add(e traigo.Event, what string) {
	line := fmt.Sprintf("%5.1f s  %s %s", e.Time.Sub(l.began).Seconds(), e.Scope.Name(), what)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept {
		l.lines = append(l.lines, line)
		l.lines = l.lines[max(0, len(l.lines)-maxKept):]
		return
	}
	fmt.Fprintln(l.out, line)
}

const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// paint colors lines of a text: red for failures, yellow for what is being canceled or has
// timed out. If NO_COLOR is set in the environment, it colors nothing.
func paint(text string) string {
	if os.Getenv("NO_COLOR") != "" {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		switch {
		case strings.Contains(line, " failed: "):
			lines[i] = red + line + plain
		case strings.Contains(line, "(canceling") || strings.HasSuffix(line, "ran out of time"):
			lines[i] = yellow + line + plain
		}
	}
	return strings.Join(lines, "\n")
}
