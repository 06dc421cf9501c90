package logtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// A logWriter is a minimal observer that writes the format of docs/log-format.md.
type logWriter struct {
	mu sync.Mutex
	b  bytes.Buffer
	t0 time.Time
}

func newLogWriter() *logWriter {
	w := &logWriter{t0: time.Now()}
	w.line(map[string]any{"run": "6f1c9a0e", "pid": 71, "go": "go1.26", "program": "example.com/random", "t0": w.t0})
	return w
}

// line writes an object whose first key is "t", or "traigo" if there is no time: readers
// look for that. The order of the other keys has no meaning.
func (w *logWriter) line(keys map[string]any) {
	first := `"traigo":2`
	if t, ok := keys["t"]; ok {
		first = fmt.Sprintf(`"t":%d`, t)
		delete(keys, "t")
	}
	rest, err := json.Marshal(keys)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(&w.b, "{%s,%s\n", first, rest[1:])
}

func (w *logWriter) Observe(e traigo.Event) {
	keys := map[string]any{"t": e.Time.Sub(w.t0).Nanoseconds()}
	text := func(key string, err error) {
		if err != nil {
			keys[key] = err.Error()
		}
	}
	if e.Task != nil {
		keys["s"], keys["id"] = e.Scope.ID(), e.Task.ID()
	} else {
		keys["id"] = e.Scope.ID()
	}
	switch e.Kind {
	case traigo.ScopeOpened:
		keys["k"], keys["n"] = "scope", e.Scope.Name()
		if up := e.Scope.Parent(); up != nil {
			keys["in"] = up.ID()
		}
		if by := e.Scope.Opener(); by != nil {
			keys["by"] = by.ID()
		}
	case traigo.ScopeFinalized:
		keys["k"] = "finalize"
	case traigo.ScopeCanceled:
		keys["k"] = "cancel"
		if c, ok := errors.AsType[*traigo.Cancellation](e.Err); ok {
			keys["why"], keys["at"] = c.Kind.String(), c.At
			text("err", c.Err)
		}
		if by := e.Scope.CanceledBy(); by != nil {
			keys["by"] = by.ID()
		}
	case traigo.ScopeClosed:
		keys["k"] = "close"
		text("err", e.Err)
	case traigo.TaskSpawned:
		keys["k"], keys["n"] = "spawn", e.Task.Name()
		var flags []byte
		set := e.Task.Flags()
		for _, f := range []struct {
			is   bool
			flag byte
		}{{set.Bubble, 'b'}, {set.Master, 'm'}, {set.Awaited, 'w'}} {
			if f.is {
				flags = append(flags, f.flag)
			}
		}
		keys["f"] = string(flags)
	case traigo.TaskStarted:
		keys["k"] = "start"
	case traigo.TaskReady:
		keys["k"] = "ready"
	case traigo.TaskEnded:
		keys["k"], keys["st"] = "end", stateOf(e)
		text("err", e.Err)
	case traigo.TaskStuck:
		keys["k"] = "stuck"
	case traigo.TaskAbandoned:
		keys["k"] = "abandon"
		if e.Task == nil || e.Task.Scope() != e.Scope { // it was the body of a Run, which is inside the task
			delete(keys, "id")
			keys["s"] = e.Scope.ID()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line(keys)
}

func stateOf(e traigo.Event) string {
	_, panicked := errors.AsType[*traigo.PanicError](e.Err)
	switch {
	case e.Err == nil:
		return "ok"
	case !e.Task.Failed():
		return "canceled"
	case errors.Is(e.Err, traigo.ErrGoexit):
		return "exited"
	case panicked:
		return "panicked"
	default:
		return "failed"
	}
}

// Program runs a random program and returns its log. The log also depends on the scheduler,
// not on the seed alone.
func Program(t *testing.T, seed uint64) (log string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newLogWriter()
		p := &program{rand: rand.New(rand.NewPCG(seed, 7)), budget: 60}
		_ = traigo.Run(t.Context(), p.body, traigo.Observe(w), traigo.PanicAsError(),
			traigo.Name("root"), traigo.Timeout(20*time.Millisecond), traigo.CancelTimeout(5*time.Millisecond),
			traigo.Logger(slog.New(slog.DiscardHandler)))
		time.Sleep(time.Second) // until the tasks that were given up have ended
		w.mu.Lock()
		defer w.mu.Unlock()
		w.line(map[string]any{"t": time.Since(w.t0).Nanoseconds(), "k": "bye"})
		log = w.b.String()
	})
	require.Zero(t, Read(t, log).Damaged, "%s", log)
	return log
}

// A program uses scopes in all ways, at random.
type program struct {
	mu     sync.Mutex
	rand   *rand.Rand
	budget int
}

var errRandom = errors.New("random \x1b[31m failure\nwith two lines")

func (p *program) n(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rand.IntN(n)
}

func (p *program) body(ctx context.Context, s *traigo.Scope) error {
	for range 1 + p.n(5) {
		p.step(ctx, s)
	}
	return p.outcome(ctx)
}

func (p *program) task(ctx context.Context) error {
	for range p.n(3) {
		p.step(ctx, traigo.Current(ctx))
	}
	return p.outcome(ctx)
}

func (p *program) step(ctx context.Context, s *traigo.Scope) {
	p.mu.Lock()
	p.budget--
	spent := p.budget < 0
	p.mu.Unlock()
	if spent {
		return
	}
	switch p.n(9) {
	case 0, 1, 2:
		s.Spawn(p.task, traigo.Name([]string{"a", "worker", "w [x]-1", ""}[p.n(3)]), traigo.Bubble(p.n(2) == 0), traigo.Master(p.n(8) == 0), traigo.Awaited(p.n(4) > 0))
	case 3:
		f := s.Fork(traigo.Name("fork"), traigo.Timeout(time.Duration(p.n(6))*time.Millisecond))
		p.step(ctx, f)
		f.Finalize()
	case 4:
		f := traigo.New(ctx, traigo.Name("new"))
		p.step(ctx, f)
		if p.n(2) == 0 {
			f.Cancel(errRandom)
		}
	case 5:
		_ = traigo.Run(ctx, p.body, traigo.Name("run"))
	case 6:
		derived, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_ = traigo.Run(derived, p.body)
	case 7:
		_, _ = s.Start(ctx, func(ctx context.Context, ready func()) error {
			ready()
			return p.task(ctx)
		})
	case 8:
		t := s.Spawn(p.task, traigo.Name("canceled alone"))
		_ = traigo.Sleep(ctx, time.Millisecond)
		t.Cancel(nil)
	}
}

func (p *program) outcome(ctx context.Context) error {
	switch p.n(12) {
	case 0:
		return errRandom
	case 1:
		panic("random panic")
	case 2:
		if t := traigo.CurrentTask(ctx); t != nil && t.Scope() == traigo.Current(ctx) {
			runtime.Goexit()
		}
	case 3, 4:
		<-ctx.Done()
		return ctx.Err()
	case 5:
		<-ctx.Done()
		return fmt.Errorf("cleaning up: %w", errRandom)
	case 6:
		time.Sleep(40 * time.Millisecond) // it ignores its cancellation and is given up
	case 7:
		return traigo.Blocking(func() error { time.Sleep(time.Millisecond); return nil })(ctx)
	case 8, 9:
		return traigo.Sleep(ctx, time.Duration(p.n(4))*time.Millisecond)
	}
	return nil
}
