package live_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

// actors is a SnapshotFunc that finds a process below each task of a root: the first has the
// PID 4194303, which is the largest that Linux has.
func actors(_ context.Context, s *traigo.Scope) (traigo.Snapshot, error) {
	shot := s.Snapshot()
	for i, t := range shot.Tasks {
		pid := 4194303 - i
		id := uint64(pid) << 32
		path := shot.Path + "/" + t.Name
		inner := traigo.TaskSnapshot{ID: 1, Scope: id | 1, Name: "serve", Path: path + "/serve", State: "running", Spawned: time.Now(), Bubble: true, Awaited: true}
		shot.Scopes = append(shot.Scopes, traigo.Snapshot{
			ID: id | 1, Name: t.Name, Path: path, Pid: pid, Parent: shot.ID, Task: t.ID, Opened: time.Now(), Tasks: []traigo.TaskSnapshot{inner},
		})
	}
	return shot, nil
}

// withActor opens a scope with one task, which stands for a process.
func withActor(t *testing.T) *traigo.Scope {
	t.Helper()
	s := opened(t)
	s.Spawn(waitHere, traigo.Name("mid"))
	synctest.Wait()
	return s
}

func TestAFunctionTakesTheSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withActor(t)
		h := live.HandlerFunc(actors, s, s.Fork(), s)
		assert.Equal(t, `3 scopes, 2 tasks

server (open, 0s)
├─ • mid (running, 0s)
│  └─ mid (open, 0s, process 4194303)
│     └─ • serve (running, 0s)
└─ scope#N (open, 0s)
`, strings.ReplaceAll(getText(h), fmt.Sprintf("scope#%d", s.ID()+1), "scope#N"))

		x := getJSON(t, h, "")
		mid := x.Roots[0].Below[0].Below[0]
		assert.Equal(t, 4194303, mid.Pid)
		assert.Equal(t, uint64(4194303)<<32|1, mid.ID)
		assert.Zero(t, x.Roots[0].Pid)
		assert.Empty(t, x.Note)
		assert.Contains(t, get(h, fmt.Sprintf("/?scope=%d", mid.ID)).Body.String(), "mid (open, ")
		assert.Equal(t, uint64(3), live.SnapshotsTaken(h), "at most one for each answer")
	})
}

func TestProcessesThatAreAlikeAreFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		for range 8 {
			s.Spawn(waitHere, traigo.Name("worker"))
		}
		synctest.Wait()
		h := live.HandlerFunc(actors, s)
		assert.Contains(t, getText(h), "└─ • worker [×8] (running, 0s)\n   └─ worker [×8] (open, 0s, 8 processes)\n      └─ • serve [×8] (running, 0s)\n")
		workers := getJSON(t, h, "").Roots[0].Below[0].Below[0]
		assert.Equal(t, 8, workers.Processes)
		assert.Zero(t, getJSON(t, h, "&full=1").Roots[0].Below[0].Below[0].Processes)
	})
	same := with(scope(3, "server"), func(s *traigo.Snapshot) {
		for i := range 6 {
			s.Scopes = append(s.Scopes, with(scope(uint64(10+i), "part"), func(s *traigo.Snapshot) { s.Pid = 7 }))
		}
		s.Scopes = append(s.Scopes, scope(20, "part"))
	})
	text := live.Text(new(live.LintState), at, "", same)
	assert.Contains(t, text, "├─ part [×6] (open, 1m0s, process 7)\n")
	assert.Contains(t, text, "└─ part (open, 1m0s)\n", "what is in this process is not alike")
}

func TestAnErrorIsANoteBesideTheTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withActor(t)
		h := live.HandlerFunc(func(ctx context.Context, s *traigo.Scope) (traigo.Snapshot, error) {
			shot, _ := actors(ctx, s)
			return shot, errors.Join(errors.New("the actor root/mid (pid 7) has not answered"), errors.New("nor has\u202e root/leaf (pid 8)"))
		}, s)
		const note = `the actor root/mid (pid 7) has not answered; nor has\u202e root/leaf (pid 8)`
		w := get(h, "/")
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Contains(t, w.Body.String(), "\n"+note+"\n\nserver (open, ")
		assert.Contains(t, w.Body.String(), "process 4194303")
		assert.Equal(t, note, getJSON(t, h, "").Note)
		assert.Contains(t, get(h, "/?stacks=1").Body.String(), note)
	})
}

// Whatever the function does, this process is shown, and a sentence says what is missing.
func TestAFunctionThatFailsHidesNothing(t *testing.T) {
	for says, take := range map[string]live.SnapshotFunc{
		"no registrar": func(context.Context, *traigo.Scope) (traigo.Snapshot, error) {
			return traigo.Snapshot{}, errors.New("no registrar")
		},
		"has returned none":      func(context.Context, *traigo.Scope) (traigo.Snapshot, error) { return traigo.Snapshot{}, nil },
		"panicked: out of range": func(context.Context, *traigo.Scope) (traigo.Snapshot, error) { panic("out of range") },
		"has called runtime.Goexit": func(context.Context, *traigo.Scope) (traigo.Snapshot, error) {
			runtime.Goexit()
			return traigo.Snapshot{}, nil
		},
		"panicked: bad Error": func(context.Context, *traigo.Scope) (traigo.Snapshot, error) {
			return traigo.Snapshot{}, badError{}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := withActor(t)
			h := live.HandlerFunc(take, s)
			for range 2 {
				text := getText(h)
				assert.Contains(t, text, says)
				assert.Contains(t, text, "server (open, ", says)
				assert.Contains(t, text, "• mid (running, ", says)
			}
		})
	}
}

// A function that hangs delays the first answer for 3 s. It is not called again while it
// hangs, and other roots are shown as before.
func TestAFunctionThatHangsIsNotWaitedForTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, other := withActor(t), opened(t, traigo.Name("other"))
		var calls atomic.Int32
		end := make(chan struct{})
		h := live.HandlerFunc(func(ctx context.Context, root *traigo.Scope) (traigo.Snapshot, error) {
			if root == s {
				calls.Add(1)
				<-end
			}
			return actors(ctx, root)
		}, s, other)
		begin := time.Now()
		text := getText(h)
		assert.Equal(t, 3*time.Second, time.Since(begin))
		assert.Contains(t, text, "does not answer: of server only this process is shown")
		assert.Contains(t, text, "• mid (running, ")
		assert.Contains(t, text, "other (open, ")

		time.Sleep(time.Minute)
		begin = time.Now()
		assert.Contains(t, getText(h), "does not answer")
		assert.Zero(t, time.Since(begin))
		assert.EqualValues(t, 1, calls.Load())

		close(end)
		synctest.Wait()
		time.Sleep(time.Second)
		assert.Contains(t, getText(h), "process 4194303")
		assert.EqualValues(t, 2, calls.Load())
	})
}

// The context ends a second before the answer is given up, so that what has come by then is
// shown.
func TestTheContextOfAFunctionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withActor(t)
		h := live.HandlerFunc(func(ctx context.Context, s *traigo.Scope) (traigo.Snapshot, error) {
			<-ctx.Done()
			shot, _ := actors(ctx, s)
			return shot, errors.New("one has not answered")
		}, s)
		begin := time.Now()
		text := getText(h)
		assert.Equal(t, 2*time.Second, time.Since(begin))
		assert.Contains(t, text, "one has not answered")
		assert.Contains(t, text, "process 4194303")
	})
}

// Functions that hang hold at most 16 goroutines, however many roots there are.
func TestCallsOfAFunctionAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var roots []*traigo.Scope
		for range 100 {
			roots = append(roots, opened(t))
		}
		var running atomic.Int32
		end := make(chan struct{})
		h := live.HandlerFunc(func(ctx context.Context, s *traigo.Scope) (traigo.Snapshot, error) {
			running.Add(1)
			<-end
			return actors(ctx, s)
		}, roots...)
		for range 3 {
			begin := time.Now()
			text := getText(h)
			assert.LessOrEqual(t, time.Since(begin), 9*time.Second)
			assert.Contains(t, text, "server [×100] (open, ")
			assert.Contains(t, text, "And 95 more.")
			assert.EqualValues(t, 16, running.Load())
		}
		close(end)
		synctest.Wait()
		time.Sleep(10 * time.Second)
		assert.NotContains(t, getText(h), "does not answer")
	})
}

func TestStacksOfThisProcessAreAddedToThoseOfAFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withActor(t)
		h := live.HandlerFunc(actors, s)
		text := get(h, "/?stacks=1").Body.String()
		assert.Contains(t, text, "live_test.waitHere(")
		assert.Contains(t, text, "mid (open, 0s, process 4194303)")
		assert.Contains(t, text, "\nThere are no stacks of 1 other process here.\n")
		assert.NotContains(t, getText(h), "goroutine ", "the snapshot that clients share stays as it is")

		ask := func(scope, task uint64) (int, string) {
			w := get(h, fmt.Sprintf("/stack?scope=%d&task=%d", scope, task))
			return w.Code, w.Body.String()
		}
		code, text := ask(s.ID(), 1)
		assert.Equal(t, http.StatusOK, code)
		assert.Contains(t, text, "live_test.waitHere(")
		code, text = ask(4194303<<32|1, 1)
		assert.Equal(t, http.StatusNotFound, code)
		assert.Contains(t, text, "it is in process 4194303, which has not given one")
	})
}

func TestStacksOfAFunctionAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withActor(t)
		h := live.HandlerFunc(func(ctx context.Context, s *traigo.Scope) (traigo.Snapshot, error) {
			shot, err := actors(ctx, s)
			shot.Scopes[0].Tasks[0].Stack = "goroutine 7 [select]:\nmain.serve()\n"
			return shot, err
		}, s)
		text := get(h, "/?stacks=1").Body.String()
		assert.Contains(t, text, "main.serve()")
		assert.Contains(t, text, "live_test.waitHere(")
		assert.NotContains(t, text, "There are no stacks")
		assert.Contains(t, get(h, fmt.Sprintf("/stack?scope=%d&task=1", uint64(4194303)<<32|1)).Body.String(), "main.serve()")
	})
}

// What a function returns may be its own: stacks are added to a copy.
func TestTheSnapshotOfAFunctionStaysAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withActor(t)
		assert.NoError(t, traigo.Run(s.Context(), func(context.Context, *traigo.Scope) error {
			kept := s.Snapshot()
			h := live.HandlerFunc(func(context.Context, *traigo.Scope) (traigo.Snapshot, error) { return kept, nil }, s)
			text := get(h, "/?stacks=1").Body.String()
			assert.Contains(t, text, "live_test.waitHere(")
			assert.Contains(t, text, "TestTheSnapshotOfAFunctionStaysAsItIs", "the stack of the body")
			assert.Empty(t, kept.Tasks[0].Stack)
			assert.Empty(t, kept.Scopes[0].Stack)
			return nil
		}))
	})
}

func TestATrackerMayHaveAFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scopes := live.Tracker{Snapshot: actors}
		s := opened(t, traigo.Observe(&scopes))
		s.Spawn(waitHere, traigo.Name("mid"))
		synctest.Wait()
		assert.Contains(t, getText(&scopes), "process 4194303")
	})
}

func TestBadFunctionsPanic(t *testing.T) {
	s := opened(t)
	assert.PanicsWithValue(t, "live: HandlerFunc has been given a nil function", func() { live.HandlerFunc(nil, s) })
	assert.PanicsWithValue(t, "live: HandlerFunc needs a scope to show; for scopes that are opened later use a Tracker", func() { live.HandlerFunc(actors) })
	assert.PanicsWithValue(t, "live: HandlerFunc has been given a nil *Scope", func() { live.HandlerFunc(actors, s, nil) })
	assert.PanicsWithValue(t, "live: RegisterFunc has been given a nil *http.ServeMux", func() { live.RegisterFunc(nil, actors, s) })
	mux := http.NewServeMux()
	live.RegisterFunc(mux, actors, s)
	require.Contains(t, get(mux, "/debug/scopes").Body.String(), "server (open, ")
}
