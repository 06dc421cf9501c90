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
	if err := directory(dir); err != nil {
		return err
	}

	// These few lines are what it takes to see a program.
	log := filepath.Join(*dir, "run.jsonl")
	rec, err := record.Create(log)
	if err != nil {
		return err
	}
	told, scopes := newTeller(env.stdout), new(live.Tracker)
	s := traigo.New(ctx, traigo.Name("demo"), traigo.Observe(rec), traigo.Observe(told), traigo.Observe(scopes))
	page, err := serveLive(ctx, *addr, scopes)
	if err != nil {
		err = errors.Join(err, s.Close(), rec.Close())
		if made {
			err = errors.Join(err, os.RemoveAll(*dir)) // there is nothing in it to look at
		}
		return err
	}

	d := &demo.Demo{Duration: *length, Dir: *dir}
	// An interrupt ends the program that is watched, and what watches it with that.
	err = traigo.Run(context.WithoutCancel(ctx), func(_ context.Context, own *traigo.Scope) error {
		fmt.Fprintf(env.stdout, "live page  %s (while it runs: %v)\n", page.url, *length)
		own.Spawn(page.serve, traigo.Awaited(false))
		if f, ok := env.stdout.(*os.File); ok {
			if scr, ok := screen.On(f); ok {
				told.keep()
				own.Spawn(drawing(scr, page.url, told), traigo.Awaited(false))
			}
		}
		if err := d.Start(ctx, s); err != nil {
			return err
		}
		_ = s.Wait() // what goes wrong is what one has come to see
		return nil
	})
	_ = s.Close()
	told.tellAgain()
	return errors.Join(err, rec.Close(), showRun(ctx, env, d, log, *open))
}

// directory makes the one that is asked for, or a new one.
func directory(dir *string) (err error) {
	if *dir != "" {
		return os.MkdirAll(*dir, 0o755)
	}
	*dir, err = os.MkdirTemp("", "traigo-demo-")
	return err
}

// A livePage is the live page, on an address of its own.
type livePage struct {
	url    string
	ln     net.Listener
	server *http.Server
}

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

func (p *livePage) serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { p.server.Close() })()
	if err := p.server.Serve(p.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// drawing draws the tree four times a second, and above it what was told last. It gets
// the tree as anybody would, with the text of the live page.
func drawing(scr *screen.Screen, url string, told *teller) func(context.Context) error {
	return func(ctx context.Context) error {
		defer scr.Clear()
		for ctx.Err() == nil {
			if tree, err := liveText(ctx, url); err == nil {
				scr.Draw(paint(told.last(5) + "\n" + tree))
			}
			_ = traigo.Sleep(ctx, 250*time.Millisecond)
		}
		return nil
	}
}

// straight asks the live page, which is here, and no proxy.
var straight = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func liveText(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?format=text", http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := straight.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// showRun says what there is to look at.
func showRun(ctx context.Context, env *environment, d *demo.Demo, log string, open bool) error {
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	html, err := pageFrom(text)
	if err != nil {
		return err
	}
	page := pageOf(log)
	if err := save(page, html, log); err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "\n%s.\n\nrecording  %s\npage       %s\n", d.Summary(), log, page)
	if open && openInBrowser(ctx, page) {
		return nil
	}
	fmt.Fprintf(env.stdout, "open it    %s\n", urlOf(page))
	fmt.Fprintf(env.stdout, "as text    go run ./cmd/traigo tree %s\n", log)
	return nil
}

// A teller is an observer that tells in words what goes wrong: as lines, or for the
// screen.
type teller struct {
	began time.Time

	out io.Writer

	mu    sync.Mutex // guards what follows
	keeps bool       // lines are not written, but kept for the screen
	lines []string
}

// mostKept is how many lines are kept for the end: of a long demo nobody reads more.
const mostKept = 20

func newTeller(out io.Writer) *teller { return &teller{began: time.Now(), out: out} }

// keep keeps what is told for last and tellAgain.
func (tl *teller) keep() {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	tl.keeps = true
}

// tellAgain writes what has been kept.
func (tl *teller) tellAgain() {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	for _, line := range tl.lines {
		fmt.Fprintln(tl.out, line)
	}
}

// last returns the n lines that were told last, and empty ones if there are not so
// many, so that what is drawn below stays where it is.
func (tl *teller) last(n int) string {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	lines := tl.lines[max(0, len(tl.lines)-n):]
	return strings.Join(lines, "\n") + strings.Repeat("\n", n-len(lines))
}

// Observe tells of scopes that end before their time.
func (tl *teller) Observe(e traigo.Event) {
	var why *traigo.Cancellation
	if e.Kind != traigo.ScopeCanceled || !errors.As(e.Err, &why) {
		return
	}
	switch why.Kind {
	case traigo.TimedOut:
		tl.tell(e, "ran out of time")
	case traigo.TaskFailed:
		tl.tell(e, fmt.Sprintf("failed: its task %s returned “%v”", e.Scope.CanceledBy().Name(), why.Err))
	case traigo.BodyFailed, traigo.Panicked:
		tl.tell(e, fmt.Sprintf("failed: %v", why.Err))
	case traigo.Requested, traigo.ParentCanceled, traigo.MasterEnded, traigo.Completed:
	}
}

func (tl *teller) tell(e traigo.Event, what string) {
	line := fmt.Sprintf("%5.1f s  %s %s", e.Time.Sub(tl.began).Seconds(), e.Scope.Name(), what)
	tl.mu.Lock()
	defer tl.mu.Unlock()
	if tl.keeps {
		tl.lines = append(tl.lines, line)
		tl.lines = tl.lines[max(0, len(tl.lines)-mostKept):]
		return
	}
	fmt.Fprintln(tl.out, line)
}

const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// paint colors the lines of a text that are about trouble: red for what failed,
// yellow for what is being canceled or was too late. NO_COLOR turns it off.
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
