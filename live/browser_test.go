package live_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/internal/browser"
	"github.com/traigo/traigo/live"
)

// A program has a page for the browser, and does what the script in the browser tells it.
type program struct {
	t    *testing.T
	root *traigo.Scope
	addr string

	tracker live.Tracker
	states  chan string // made up by the script: see serveMadeUp

	mu     sync.Mutex
	scopes map[string]*traigo.Scope
	ends   map[string][]chan error // by the name of the task
	server *http.Server
}

func TestBrowserPage(t *testing.T) {
	p := newProgram(t, "shop")
	browser.Run(t, "live.test.mjs", "URL=http://"+p.addr,
		"PICTURE="+browser.Picture(t.TempDir(), "live.png"),
		"PICTURE_DARK="+browser.Picture(t.TempDir(), "live-dark.png"),
		"PICTURE_LINTS="+browser.Picture(t.TempDir(), "live-lints.png"))
}

func TestBrowserPageWithoutAStream(t *testing.T) {
	p := newProgram(t, "door")
	browser.Run(t, "live-door.test.mjs", "URL=http://"+p.addr,
		"PICTURE="+filepath.Join(t.TempDir(), "live-door.png"),
		"PICTURE_PHONE="+filepath.Join(t.TempDir(), "live-door-phone.png"))
}

func newProgram(t *testing.T, name string) *program {
	p := &program{t: t, states: make(chan string, 1), scopes: map[string]*traigo.Scope{}, ends: map[string][]chan error{}}
	p.root = traigo.New(t.Context(), traigo.Name(name), traigo.Observe(&p.tracker))
	p.scopes[""] = p.root
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.addr = listener.Addr().String()
	p.serve(listener)
	t.Cleanup(func() {
		p.stop()
		p.mu.Lock()
		ends := p.ends
		p.ends = map[string][]chan error{}
		p.mu.Unlock()
		for _, channels := range ends {
			for _, end := range channels {
				end <- nil
			}
		}
		_ = p.root.Close()
	})
	return p
}

func (p *program) serve(listener net.Listener) {
	mux := http.NewServeMux()
	live.Register(mux, p.root)
	mux.Handle("GET /tracked/", &p.tracker)
	mux.Handle("GET /actors/", live.HandlerFunc(actors, p.root))
	mux.Handle("GET /made-up/", live.Handler(p.root))
	mux.HandleFunc("GET /made-up/events", p.serveMadeUp)
	mux.HandleFunc("POST /do/{what}", p.do)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func(s *http.Server) { _ = s.Serve(listener) }(p.server)
}

func (p *program) stop() {
	p.mu.Lock()
	server := p.server
	p.mu.Unlock()
	_ = server.Shutdown(context.Background())
}

// do does what the script asks for, n times: in a scope, with a name, and with flags.
func (p *program) do(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n, _ := strconv.Atoi(q.Get("n"))
	for range max(1, n) {
		switch r.PathValue("what") {
		case "fork":
			p.fork(q.Get("in"), q.Get("name"), q.Get("flags"))
		case "spawn":
			p.spawn(q.Get("in"), q.Get("name"), q.Get("flags"))
		case "end":
			p.end(q.Get("name"), nil)
		case "fail":
			p.end(q.Get("name"), errors.New("connection reset by peer"))
		case "cancel":
			p.scope(q.Get("in")).Cancel(errors.New("disk full"))
		case "close":
			_ = p.scope(q.Get("in")).Close()
		case "finalize":
			p.scope(q.Get("in")).Finalize()
		case "busy":
			p.scope(q.Get("in")).Spawn(keepBusy, traigo.Name("customers"))
		case "show":
			state, _ := io.ReadAll(r.Body)
			select {
			case <-p.states: // of a page that has gone
			default:
			}
			p.states <- string(state)
		case "restart":
			go p.restart(time.Duration(max(1, n)) * time.Millisecond)
			return
		default:
			http.NotFound(w, r)
		}
	}
}

func (p *program) scope(name string) *traigo.Scope {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.scopes[name]
}

func (p *program) fork(in, name, flags string) {
	opts := []traigo.ScopeOption{traigo.Name(name)}
	if strings.Contains(flags, "timeout") {
		opts = append(opts, traigo.Timeout(90*time.Second))
	}
	if strings.Contains(flags, "limit") {
		opts = append(opts, traigo.Limit(4))
	}
	if strings.Contains(flags, "impatient") {
		opts = append(opts, traigo.CancelTimeout(time.Millisecond))
	}
	s := p.scope(in).Fork(opts...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scopes[name] = s
}

func (p *program) spawn(in, name, flags string) {
	has := func(flag string) bool { return strings.Contains(flags, flag) }
	end := make(chan error, 1)
	fn := func(ctx context.Context) error { return waitFor(ctx, end, has("uncancelable")) }
	if has("nested") {
		inner := fn
		fn = func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(inner, traigo.Name("read"))
				return nil
			}, traigo.Name("session"))
		}
	}
	p.scope(in).Spawn(fn, traigo.Name(name), traigo.Awaited(!has("background")), traigo.Master(has("master")))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends[name] = append(p.ends[name], end)
}

// waitFor is the function that the script expects in the stack of a task.
func waitFor(ctx context.Context, end <-chan error, ignoresCancel bool) error {
	if ignoresCancel {
		return <-end
	}
	select {
	case err := <-end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keepBusy opens scopes that come and go all the time: customers with orders, of each of which
// some parts are asked for at once, and some fail or are too slow.
func keepBusy(ctx context.Context) error {
	return traigo.Run(ctx, func(ctx context.Context, shop *traigo.Scope) error {
		shop.Spawn(untilCanceled, traigo.Name("first aid"), traigo.Awaited(false))
		for i := 0; ; i++ {
			for range rand.IntN(4) {
				shop.Spawn(customer, traigo.Name(fmt.Sprint("customer ", i)), traigo.Bubble(false))
			}
			if err := traigo.Sleep(ctx, time.Duration(rand.IntN(500))*time.Millisecond); err != nil {
				return err
			}
		}
	}, traigo.Name("hall"))
}

func customer(ctx context.Context) error {
	part := func(ctx context.Context) (int, error) {
		if rand.IntN(10) == 0 {
			return 0, errors.New("out of stock")
		}
		return 0, traigo.Sleep(ctx, time.Duration(rand.IntN(400))*time.Millisecond)
	}
	for range 4 {
		_ = traigo.FailAfter(ctx, 300*time.Millisecond, func(ctx context.Context) error {
			_, err := traigo.All(ctx, []func(context.Context) (int, error){part, part, part}[rand.IntN(3):]...)
			return err
		})
	}
	return nil
}

// serveMadeUp serves events with the states that the script makes up, for what a small program
// cannot show.
func (p *program) serveMadeUp(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "event: now\ndata: %d\n\n", time.Now().UnixMilli())
	for {
		_ = http.NewResponseController(w).Flush()
		select {
		case state := <-p.states:
			fmt.Fprintf(w, "event: state\ndata: %s\n\n", state)
		case <-r.Context().Done():
			return
		}
	}
}

func (p *program) end(name string, err error) {
	p.mu.Lock()
	ends := p.ends[name]
	delete(p.ends, name)
	p.mu.Unlock()
	for _, end := range ends {
		end <- err
	}
}

// restart stops the server, and starts another one at the same address after the pause.
func (p *program) restart(pause time.Duration) {
	p.stop()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	<-timer.C
	listener, err := net.Listen("tcp", p.addr)
	if err == nil {
		p.serve(listener)
	}
}
