// Package logtest has logs for the tests of packages that read them: written by hand,
// of random programs, and made of random lines.
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
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record/history"
)

// Header is the first line of a log.
const Header = `{"traigo":1,"t0":"2026-11-21T01:02:03.000000004Z","run":"6f1c9a0e","pid":71,"go":"go1.26","program":"example.com/chat"}` + "\n"

// Chat is the log that docs/log-format.md shows.
const Chat = Header + `{"t":1000,"k":"scope","id":3,"n":"server"}
{"t":2100,"k":"spawn","s":3,"id":1,"n":"accept","f":"bwm"}
{"t":2300,"k":"start","s":3,"id":1}
{"t":2900,"k":"scope","id":4,"in":3,"by":1,"n":"conn","dl":5000002900}
{"t":9000,"k":"end","s":3,"id":1,"st":"failed","err":"accept: too many open files"}
{"t":9050,"k":"cancel","id":3,"why":"task failed","by":1,"err":"accept: too many open files"}
{"t":9051,"k":"cancel","id":4,"why":"parent canceled"}
{"t":9100,"k":"close","id":4,"err":"…"}
{"t":9900,"k":"close","id":3,"err":"scope \"server\": task \"accept\": accept: too many open files"}
{"t":9901,"k":"bye"}
`

// Read reads a log.
func Read(t *testing.T, text string) *history.History {
	t.Helper()
	h, err := history.Read(strings.NewReader(text))
	require.NoError(t, err)
	return h
}

// ReadSCLogs reads a file of trio-vis.
func ReadSCLogs(t *testing.T, text string) *history.History {
	t.Helper()
	h, err := history.ReadSCLogs(strings.NewReader(text))
	require.NoError(t, err)
	return h
}

// Check holds what every history promises, whatever the log was.
func Check(t *testing.T, h *history.History) {
	t.Helper()
	all := map[*history.Scope]bool{}
	for i, s := range h.Scopes {
		require.False(t, all[s], "twice")
		all[s] = true
		if i > 0 {
			require.LessOrEqual(t, h.Scopes[i-1].Opened, s.Opened)
		}
	}
	children, opened := 0, 0
	for _, s := range h.Scopes {
		ordered(t, s.Opened, s.Finalized, s.Closed)
		ordered(t, s.Opened, s.Canceled, s.Closed)
		require.Equal(t, s.Closed == history.Never, s.State != history.ScopeClosed && s.State != history.ScopeLost)
		require.Equal(t, s.Canceled == history.Never, s.Cause == nil)
		depth := 0
		for up := s; up != nil; up = up.Parent {
			require.True(t, all[up])
			depth++
			require.LessOrEqual(t, depth, len(h.Scopes), "a circle")
		}
		_, ender := s.Culprit()
		require.True(t, ender == nil || s.Cause != nil)
		for _, c := range s.Scopes {
			require.Same(t, s, c.Parent)
			require.LessOrEqual(t, s.Opened, c.Opened)
			children++
		}
		if s.By != nil {
			require.Same(t, s.Parent, s.By.Scope)
			require.Contains(t, s.By.Scopes, s)
			opened++
		}
		for i, task := range s.Tasks {
			require.Same(t, s, task.Scope)
			require.LessOrEqual(t, s.Opened, task.Spawned)
			if i > 0 {
				require.Less(t, s.Tasks[i-1].ID, task.ID)
			}
			ordered(t, task.Spawned, task.Started, task.Ended)
			ordered(t, task.Spawned, task.Stuck, task.Ended)
			ordered(t, task.Spawned, task.Ready, task.Ended)
			opened -= len(task.Scopes)
		}
	}
	require.Equal(t, len(h.Scopes)-len(h.Roots()), children)
	require.Zero(t, opened, "who opened what is said on both sides")
}

func ordered(t *testing.T, times ...time.Duration) {
	t.Helper()
	last := time.Duration(0)
	for _, at := range times {
		if at != history.Never {
			require.LessOrEqual(t, last, at)
			last = at
		}
	}
}

// A tape is an observer that writes a log as docs/log-format.md has it, without any of
// a recorder's care.
type tape struct {
	mu sync.Mutex
	b  bytes.Buffer
	t0 time.Time
}

func newTape() *tape {
	tp := &tape{t0: time.Now()}
	tp.line(map[string]any{"run": "6f1c9a0e", "pid": 71, "go": "go1.26", "program": "example.com/random", "t0": tp.t0})
	return tp
}

// line writes the keys in the order that matters: that of the first.
func (tp *tape) line(keys map[string]any) {
	first := `"traigo":1`
	if t, ok := keys["t"]; ok {
		first = fmt.Sprintf(`"t":%d`, t)
		delete(keys, "t")
	}
	rest, err := json.Marshal(keys)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(&tp.b, "{%s,%s\n", first, rest[1:])
}

func (tp *tape) Observe(e traigo.Event) {
	keys := map[string]any{"t": e.Time.Sub(tp.t0).Nanoseconds()}
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
			keys["why"] = c.Kind.String()
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
		flags := ""
		set := e.Task.Flags()
		for _, f := range []struct {
			is   bool
			flag string
		}{{set.Bubble, "b"}, {set.Master, "m"}, {set.Awaited, "w"}} {
			if f.is {
				flags += f.flag
			}
		}
		keys["f"] = flags
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
		if e.Task == nil || e.Task.Scope() != e.Scope { // the body of a Run, inside that task
			delete(keys, "id")
			keys["s"] = e.Scope.ID()
		}
	}
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.line(keys)
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

// Program runs a random program, and returns its log. The seed does not decide what the
// scheduler makes of it.
func Program(t *testing.T, seed uint64) (log string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tp := newTape()
		p := &program{rand: rand.New(rand.NewPCG(seed, 7)), budget: 60}
		_ = traigo.Run(t.Context(), p.body, traigo.Observe(tp), traigo.PanicAsError(),
			traigo.Name("root"), traigo.Timeout(20*time.Millisecond), traigo.CancelTimeout(5*time.Millisecond),
			traigo.Logger(slog.New(slog.DiscardHandler)))
		time.Sleep(time.Second) // those that were given up
		tp.mu.Lock()
		defer tp.mu.Unlock()
		tp.line(map[string]any{"t": time.Since(tp.t0).Nanoseconds(), "k": "bye"})
		log = tp.b.String()
	})
	require.Zero(t, Read(t, log).Damaged, "%s", log)
	return log
}

// A program does whatever a scope can be used for.
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
		time.Sleep(40 * time.Millisecond) // deaf: it will be given up
	case 7:
		return traigo.Blocking(func() error { time.Sleep(time.Millisecond); return nil })(ctx)
	case 8, 9:
		return traigo.Sleep(ctx, time.Duration(p.n(4))*time.Millisecond)
	}
	return nil
}

// randomLog is a log that no program would write: lines in any order, about scopes and
// tasks that may never begin or end, twice, at times that contradict each other, some
// torn or lost.
func Random(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 3))
	var b strings.Builder
	b.WriteString(Header)
	names := []string{"a", "worker", "", "x__TRIO_VIS_Tscope", "w [ok]", "a-0", "\\u001b[2J", "conn-17", "scope#4"}
	whys := []string{"task failed", "parent canceled", "parent canceled", "timeout", "completed", "master ended", "what?"}
	states := []string{"ok", "failed", "canceled", "panicked", "exited", "strange"}
	most := 1 + r.IntN(8)
	id := func() int { return r.IntN(most + 1) }
	at := func() int { return r.IntN(1 + r.IntN(40)) }
	pick := func(all []string) string { return all[r.IntN(len(all))] }
	for range r.IntN(80) {
		switch r.IntN(16) {
		case 0, 1, 2:
			fmt.Fprintf(&b, `{"t":%d,"k":"scope","id":%d,"in":%d,"by":%d,"n":"%s"}`, at(), id(), id(), id(), pick(names))
		case 3, 4, 5:
			fmt.Fprintf(&b, `{"t":%d,"k":"spawn","s":%d,"id":%d,"n":"%s","f":"mw"}`, at(), id(), id(), pick(names))
		case 6:
			fmt.Fprintf(&b, `{"t":%d,"k":"start","s":%d,"id":%d}`, at(), id(), id())
		case 7, 8:
			fmt.Fprintf(&b, `{"t":%d,"k":"end","s":%d,"id":%d,"st":"%s","err":"boom ] [x"}`, at(), id(), id(), pick(states))
		case 9:
			fmt.Fprintf(&b, `{"t":%d,"k":"cancel","id":%d,"why":"%s","by":%d}`, at(), id(), pick(whys), id())
		case 10, 11:
			fmt.Fprintf(&b, `{"t":%d,"k":"close","id":%d,"err":"over"}`, at(), id())
		case 12:
			fmt.Fprintf(&b, `{"t":%d,"k":"%s","s":%d,"id":%d}`, at(), pick([]string{"stuck", "abandon", "ready"}), id(), id())
		case 13:
			n := r.IntN(4)
			fmt.Fprintf(&b, `{"t":%d,"k":"lost","n":%d,"why":"slow"}`+"\n"+`{"t":%d,"k":"live","n":%d}`, at(), n, at(), n)
			for range n {
				fmt.Fprintf(&b, "\n"+`{"t":%d,"k":"spawn","s":%d,"id":%d,"n":"a","st":"running"}`, at(), id(), id())
			}
		case 14:
			b.WriteString(pick([]string{"nonsense", `{"t":-7,"k":"bye"}`, `{"t":1,"k":"future","id":2}`, Header[:40]}))
		case 15:
			fmt.Fprintf(&b, `{"t":%d,"k":"finalize","id":%d}`, at(), id())
		}
		b.WriteByte('\n')
	}
	text := b.String()
	if r.IntN(3) == 0 {
		text = text[:max(len(Header), len(text)-r.IntN(30))]
	}
	return text
}

// trioVis makes a file as trio-vis writes it, of lines "+name parent" and "-name
// parent": names with a colon in front are tasks, and the last record has the wrong type.
func TrioVis(lines ...string) string {
	var b strings.Builder
	b.WriteString("{\n    \"config\": {\n        \"makeDirectScopeTransparent\": true\n    },\n    \"runRecords\": [")
	for i, line := range lines {
		name, parent, _ := strings.Cut(line[1:], " ")
		kind, desc := "scope", "created"
		if bare, ok := strings.CutPrefix(name, ":"); ok {
			name, kind = bare, "task"
		}
		if line[0] == '-' {
			desc = "exited"
			if i == len(lines)-1 {
				kind = "task"
			}
		}
		if i > 0 {
			b.WriteString(",")
		}
		name, parent = strings.ReplaceAll(name, "@", "__TRIO_VIS_Tscope"), strings.ReplaceAll(parent, "@", "__TRIO_VIS_Tscope")
		fmt.Fprintf(&b, "\n        {\n            \"time\": %d,\n            \"desc\": %q,\n            \"name\": %q,\n            \"type\": %q", i, desc, name, kind)
		if parent != "" {
			fmt.Fprintf(&b, ",\n            \"parent\": %q", parent)
		}
		b.WriteString("\n        }")
	}
	b.WriteString("\n    ]\n}")
	return b.String()
}

// Fetch is what trio-vis makes of a main task with two nurseries, the first of which
// it forgets to close.
var Fetch = TrioVis(
	"+main-0@", "+:main-0 main-0@",
	"+nursery-0 main-0@", "+get-0@ nursery-0", "+:get-0 get-0@", "-:get-0 get-0@", "-get-0@ nursery-0",
	"+nursery-1 main-0@", "+get-1@ nursery-1", "+:get-1 get-1@", "-:get-1 get-1@", "-get-1@ nursery-1",
	"-nursery-1 main-0@", "-:main-0 main-0@", "-main-0@",
)

// Big is a log of n tasks, in scopes of a hundred: three lines for each task. Each
// thousand is followed by a gap and a census, if there are to be any.
func Big(n int, gaps bool) string {
	var b strings.Builder
	b.WriteString(Header)
	b.WriteString(`{"t":1,"k":"scope","id":1,"n":"server"}` + "\n")
	for i := range n {
		s, at := 2+i/100, 1000*i
		if i%100 == 0 {
			fmt.Fprintf(&b, `{"t":%d,"k":"scope","id":%d,"in":1,"n":"example.com/chat.(*server).conn"}`+"\n", at, s)
		}
		fmt.Fprintf(&b, `{"t":%d,"k":"spawn","s":%d,"id":%d,"n":"example.com/chat.(*conn).request","f":"bw"}`+"\n", at, s, i%100+1)
		fmt.Fprintf(&b, `{"t":%d,"k":"start","s":%d,"id":%d}`+"\n", at+200, s, i%100+1)
		fmt.Fprintf(&b, `{"t":%d,"k":"end","s":%d,"id":%d,"st":"failed","err":"read: connection reset by peer"}`+"\n", at+70_000, s, i%100+1)
		if i%100 == 99 {
			fmt.Fprintf(&b, `{"t":%d,"k":"close","id":%d}`+"\n", at+80_000, s)
		}
		if gaps && i%1000 == 0 {
			fmt.Fprintf(&b, `{"t":%d,"k":"lost","n":3,"why":"slow"}`+"\n"+`{"t":%d,"k":"live","n":1}`+"\n"+`{"t":1,"k":"scope","id":1,"n":"server","st":"open"}`+"\n", at, at)
		}
	}
	return b.String()
}
