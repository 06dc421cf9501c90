package live_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/internal/limits"
	"github.com/traigo/traigo/internal/processes"
	"github.com/traigo/traigo/live"
)

// waits returns a task that waits, as a Dump has it. note is what Go writes between brackets.
func waits(id uint64, name, note string, said time.Duration, lock string) traigo.TaskSnapshot {
	return with(task(id, name), func(t *traigo.TaskSnapshot) {
		t.Waits, t.For, t.At = note, said, fmt.Sprintf("%s.go:45", name)
		t.Stack = fmt.Sprintf("goroutine %d [%s]:\ninternal/sync.(*Mutex).lockSlow(%s)\n\t/sync/mutex.go:149 +0x15d\nmain.work()\n", id, note, lock)
	})
}

var never time.Time // of a garbage collection

// look returns the answer to a look that finds the tasks in one scope.
func look(t *testing.T, x *live.Looks, after time.Duration, tasks ...traigo.TaskSnapshot) tree {
	t.Helper()
	return decode(t, x.JSON(at.Add(after), never, scope(3, "server", tasks...)))
}

// blocked returns the paths and places of which the lint warns.
func blocked(x tree) []string { return foundBy(x, "blocked", "warning") }

// maybeBlocked returns those that are a hint.
func maybeBlocked(x tree) []string { return foundBy(x, "maybe-blocked", "hint") }

func foundBy(x tree, lint, level string) (found []string) {
	for _, w := range x.Warnings {
		for i, path := range w.At {
			if w.Lint == lint && w.Level == level {
				found = append(found, path+": "+w.Details[i])
			}
		}
	}
	return found
}

func TestADeadlockOfTwoTasksIsToldWithBothPlaces(t *testing.T) {
	x := &live.Looks{}
	ab, ba := waits(1, "a", "sync.Mutex.Lock", 0, "0xc000010000"), waits(2, "b", "sync.Mutex.Lock", 0, "0xc000010008")
	for second := range 10 {
		answer := look(t, x, time.Duration(second)*time.Second, ab, ba)
		assert.Empty(t, answer.Warnings, "%d s", second)
		assert.Equal(t, 2, answer.Recheck)
	}
	both := []string{"server/a: sync.Mutex.Lock at a.go:45", "server/b: sync.Mutex.Lock at b.go:45"}
	answer := look(t, x, 10*time.Second, ab, ba)
	assert.Equal(t, both, maybeBlocked(answer))
	assert.Empty(t, blocked(answer), "looks alone cannot know")
	node := answer.Roots[0].Below[0]
	assert.Equal(t, "sync.Mutex.Lock", node.Waits)
	assert.Equal(t, "a.go:45", node.At)
	assert.Equal(t, 10*time.Second, node.For)
	text := x.Text(at.Add(11*time.Second), never, scope(3, "server", ab, ba))
	assert.Contains(t, text, "1 scope, 2 tasks, 1 hint\n")
	assert.Contains(t, text, "! maybe-blocked [×2], for 11s: has been found waiting for a mutex, or at a nil channel, at each look\n"+
		"    server/a: sync.Mutex.Lock at a.go:45\n    server/b: sync.Mutex.Lock at b.go:45\n")

	// Go knows since a garbage collection, and tells whole minutes.
	for second := 12; second < 200; second++ {
		said := (time.Duration(second)*time.Second - 40*time.Second).Truncate(time.Minute)
		ab.For, ba.For = max(said, 0), max(said, 0)
		answer = look(t, x, time.Duration(second)*time.Second, ab, ba)
		if said < time.Minute {
			assert.Equal(t, both, maybeBlocked(answer))
			continue
		}
		assert.Equal(t, both, blocked(answer))
		assert.Empty(t, maybeBlocked(answer))
		assert.True(t, answer.Warnings[0].Since.Equal(at.Add(40*time.Second)), "the same in all answers: %v", answer.Warnings[0].Since)
		assert.True(t, answer.Warnings[0].AtLeast)
	}
}

// A task that gets its mutex a million times a second may be found waiting for it at each look,
// while another one holds it for most of the time.
func TestATaskThatGetsItsMutexIsNotWarnedOf(t *testing.T) {
	x := &live.Looks{}
	for second := range 300 {
		a, b := waits(1, "a", "sleep", 0, ""), waits(2, "b", "sync.Mutex.Lock", 0, "0xc000010000")
		answer := look(t, x, time.Duration(second)*time.Second, a, b)
		assert.Empty(t, blocked(answer))
		assert.Equal(t, second >= 10, len(maybeBlocked(answer)) == 1, "%d s", second)
	}
}

// A task that has come back since Go spoke of it has waited only since.
func TestAWarningOfBlockedIsOfOneWait(t *testing.T) {
	x := &live.Looks{}
	sender := func(said time.Duration) traigo.TaskSnapshot { return waits(1, "a", "chan send", said, "") }
	look(t, x, 0, sender(0))
	look(t, x, 25*time.Second, sender(2*time.Minute))
	answer := look(t, x, 50*time.Second, sender(time.Minute))
	assert.True(t, answer.Warnings[0].Since.Equal(at.Add(-10*time.Second)), "%v", answer.Warnings[0].Since)
}

// What waits for long and may be idle is not blocked.
func TestTheLintBlockedIsPrecise(t *testing.T) {
	for _, row := range []struct {
		note       string
		hint, warn bool // when only looks say it, and when Go does
	}{
		{"sync.Mutex.Lock", true, true}, {"sync.RWMutex.Lock", true, true}, {"sync.RWMutex.RLock", true, true},
		{"chan receive (nil chan)", true, true}, {"chan send (nil chan)", true, true},
		{"chan send", false, true},          // a pipeline that waits for its slowest part
		{"select (no cases)", false, false}, // keeps a task alive
		{"chan receive", false, false}, {"select", false, false}, {"IO wait", false, false}, {"sleep", false, false},
		{"syscall", false, false}, {"sync.WaitGroup.Wait", false, false}, {"sync.Cond.Wait", false, false},
		{"running", false, false}, {"runnable", false, false},
	} {
		for _, said := range []time.Duration{0, time.Minute, time.Hour} {
			x := &live.Looks{}
			shot := waits(1, "a", row.note, said, "0xc000010000")
			look(t, x, 0, shot)
			answer := look(t, x, 11*time.Second, shot)
			assert.Equal(t, row.hint && said == 0, len(maybeBlocked(answer)) == 1, "%s %v", row.note, said)
			assert.Equal(t, row.warn && said > 0, len(blocked(answer)) == 1, "%s %v", row.note, said)
		}
	}
}

// A mutex that many want is held by one after the other: whoever waits for it goes on.
func TestAMutexThatIsHandedOnBlocksNobody(t *testing.T) {
	x := &live.Looks{}
	for second := range 60 {
		var tasks []traigo.TaskSnapshot
		for i := range 5 {
			w := waits(uint64(i+1), fmt.Sprint("w", i), "sync.Mutex.Lock", 0, "0xc000010000")
			if i == second%2 { // this one has it; three are never seen with it
				w.Waits, w.Stack = "running", "goroutine 1 [running]:\nmain.work()\n"
			}
			tasks = append(tasks, w)
		}
		answer := look(t, x, time.Duration(second)*time.Second, tasks...)
		assert.Empty(t, answer.Warnings)
		if second > 0 {
			assert.Zero(t, answer.Recheck)
		}
		assert.Zero(t, answer.Roots[0].Below[4].For)
	}
	// Another mutex that is locked at the same line says nothing of this one.
	x = &live.Looks{}
	for second := range 11 {
		own, other := waits(1, "a", "sync.Mutex.Lock", 0, "0xc000010000"), waits(2, "a", "sync.Mutex.Lock", 0, "0xc000020000")
		if second%2 == 0 {
			other.Waits, other.Stack = "running", ""
		}
		answer := look(t, x, time.Duration(second)*time.Second, own, other)
		assert.Equal(t, second == 10, len(maybeBlocked(answer)) == 1)
	}
}

func TestWhatGoSaysOfAWaitComesFirst(t *testing.T) {
	x := &live.Looks{}
	receiver := func(said time.Duration) traigo.TaskSnapshot { return waits(1, "a", "chan receive", said, "") }
	assert.Equal(t, 12*time.Minute, look(t, x, 0, receiver(12*time.Minute)).Roots[0].Below[0].For)
	assert.Equal(t, 12*time.Minute+20*time.Second, look(t, x, 20*time.Second, receiver(12*time.Minute)).Roots[0].Below[0].For)
	assert.Equal(t, 13*time.Minute, look(t, x, 50*time.Second, receiver(13*time.Minute)).Roots[0].Below[0].For)
}

// What is said follows the looks, and never is the whole of a wait: it may be far longer.
func TestAWaitIsToldAsLongAsLooksHaveSeenIt(t *testing.T) {
	x := &live.Looks{}
	sender := waits(1, "a", "chan send", 0, "")
	var text string
	for second := range 353 {
		text = x.Text(at.Add(time.Duration(second)*time.Second), never, scope(3, "server", sender))
		if second == 0 {
			assert.Contains(t, text, "chan send at a.go:45)")
		}
	}
	assert.Contains(t, text, "chan send at a.go:45, ≥ 5m52s)")
	node := look(t, x, 353*time.Second, sender).Roots[0].Below[0]
	assert.Equal(t, 353*time.Second, node.For)
	assert.True(t, node.From.Equal(at), "of the first look")
}

// One look cannot tell a deadlock from a moment, unless Go knows how long it has been one.
func TestTheFirstLookAtAMutexSaysWhenToAskAgain(t *testing.T) {
	text := func(x *live.Looks, after, said time.Duration) string {
		return x.Text(at.Add(after), never, scope(3, "server", waits(1, "a", "sync.Mutex.Lock", said, "0x1"), waits(2, "b", "sync.Mutex.Lock", said, "0x2"), waits(3, "c", "select", said, "")))
	}
	x := &live.Looks{}
	const hint = "2 tasks wait for a mutex: ask again in 10 s to see whether they still do\n"
	first := text(x, 0, 0)
	assert.Contains(t, first, "1 scope, 3 tasks, 2 to recheck\n\n"+hint)
	assert.NotContains(t, first, "blocked")
	second := text(x, 10*time.Second, 0)
	assert.Contains(t, second, "! maybe-blocked [×2], for 10s: ")
	assert.NotContains(t, second, "ask again")
	assert.Contains(t, text(&live.Looks{}, 0, 2*time.Minute), "! blocked [×2], for at least 2m0s: ")
}

// A task that comes back to its place again and again looks as one that never moves. Once the
// garbage collector has seen it there, Go tells them apart after a minute.
func TestATaskThatComesBackHasNotWaitedAllTheTime(t *testing.T) {
	for _, stays := range []bool{true, false} {
		x := &live.Looks{}
		gc := at.Add(2 * time.Second)
		var last tree
		for second := range 100 {
			now := at.Add(time.Duration(second) * time.Second)
			said := time.Duration(0)
			if stays && now.Sub(gc) >= time.Minute {
				said = time.Minute
			}
			last = decode(t, x.JSON(now, gc, scope(3, "server", waits(1, "a", "chan receive", said, ""))))
		}
		stood := last.Roots[0].Below[0].For
		assert.Equal(t, stays, stood >= time.Minute, "%v", stood)
	}
}

// Of a garbage collection after the look, which is one by another clock, nothing follows.
func TestAGarbageCollectionByAnotherClockSaysNothing(t *testing.T) {
	x := &live.Looks{}
	var last tree
	for second := range 100 {
		gc := at.Add(time.Hour)
		if second > 10 {
			gc = at.Add(10 * time.Second)
		}
		last = decode(t, x.JSON(at.Add(time.Duration(second)*time.Second), gc, scope(3, "server", waits(1, "a", "chan receive", 0, ""))))
	}
	assert.Less(t, last.Roots[0].Below[0].For, time.Minute, "it has come back: Go says of no minute")
}

// Looks that are far apart do not say what was between them.
func TestLooksThatAreFarApartProveNothing(t *testing.T) {
	x := &live.Looks{}
	shot := waits(1, "a", "sync.Mutex.Lock", 0, "0xc000010000")
	look(t, x, 0, shot)
	assert.Empty(t, maybeBlocked(look(t, x, time.Hour, shot)))
	assert.NotEmpty(t, maybeBlocked(look(t, x, time.Hour+10*time.Second, shot)))
}

func TestTasksAtTheSamePlaceAreGrouped(t *testing.T) {
	x := &live.Looks{}
	at45 := func(w traigo.TaskSnapshot) traigo.TaskSnapshot { w.At = "main.go:45"; return w }
	tasks := []traigo.TaskSnapshot{
		at45(waits(1, "a", "sync.Mutex.Lock", 0, "0xc000010000")), at45(waits(2, "b", "sync.Mutex.Lock", 12*time.Minute, "0xc000010000")),
		at45(waits(3, "c", "sync.Mutex.Lock", 0, "0xc000010000")), at45(waits(4, "d", "sync.Mutex.Lock", 0, "0xc000010000")),
		at45(waits(5, "e", "select", 0, "")), at45(waits(6, "f", "running", 0, "")), at45(waits(7, "g", "runnable", 0, "")),
	}
	answer := look(t, x, 0, tasks...)
	assert.Equal(t, []group{
		{"sync.Mutex.Lock", "main.go:45", at.Add(-12 * time.Minute), 12 * time.Minute, 4, []string{"server/b", "server/a", "server/c", "server/d"}, []string{"a", "b", "c", "d"}},
		{"select", "main.go:45", at, 0, 1, []string{"server/e"}, []string{"e"}},
	}, answer.Places)
	text := x.Text(at, never, scope(3, "server", tasks...))
	assert.Contains(t, text, "\nwaiting at the same place:\n  4 × sync.Mutex.Lock at main.go:45, ≥ 12m0s: a, b, c, d\n")
	assert.NotContains(t, text, "1 × select")

	var many []traigo.TaskSnapshot
	for i := range 1000 {
		many = append(many, waits(uint64(i+1), fmt.Sprintf("w%d", i/10), "select", 0, ""))
	}
	answer = look(t, &live.Looks{}, 0, many...)
	assert.Len(t, answer.Places, 50)
	assert.Len(t, answer.Places[0].Paths, 5)
}

// The task that has called Run, and the body, have one goroutine.
func TestAGoroutineIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return untilCanceled(ctx) }, traigo.Name("inner"))
		}, traigo.Name("outer"))
		synctest.Wait()
		x := getJSON(t, live.Handler(s), "")
		require.Len(t, x.Places, 1)
		assert.Equal(t, 1, x.Places[0].Count)
		assert.Equal(t, []string{"server/outer"}, x.Places[0].Paths)
		assert.Equal(t, "chan receive", x.Roots[0].Below[0].Waits)
		assert.Equal(t, "chan receive", x.Roots[0].Below[0].Below[0].Waits, "the body says it too")
	})
}

func TestEachTaskSaysWhatItWaitsFor(t *testing.T) {
	s := opened(t)
	var mu sync.Mutex
	mu.Lock()
	defer mu.Unlock()
	s.Spawn(func(context.Context) error { mu.Lock(); defer mu.Unlock(); return nil }, traigo.Name("locks"))
	s.Spawn(untilCanceled, traigo.Name("waits"))
	h := live.Handler(s)
	require.Eventually(t, func() bool {
		below := getJSON(t, h, "").Roots[0].Below
		return below[0].Waits == "sync.Mutex.Lock" && strings.HasPrefix(below[0].At, "places_test.go:") && below[1].Waits == "chan receive"
	}, 20*time.Second, time.Millisecond)
}

// However many ask, a look is taken once a second, and none when nobody asks.
func TestLooksAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		s.Spawn(untilCanceled)
		synctest.Wait()
		h := live.Handler(s)
		seen := make(map[time.Time]bool)
		for range 40 {
			x := getJSON(t, h, "")
			assert.Equal(t, "chan receive", x.Roots[0].Below[0].Waits)
			assert.LessOrEqual(t, x.Taken.Sub(x.Looked), time.Second)
			seen[x.Looked] = true
		}
		assert.Len(t, seen, 10, "in 10 s")
		last := live.LooksTaken(h)
		time.Sleep(time.Hour)
		assert.Equal(t, last, live.LooksTaken(h))
	})
}

// A look that takes 0.1 s is followed by 5 s without one.
func TestLooksTakeAtMostTwoPercentOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := processes.Option(func(ctx context.Context, _ bool) any { <-ctx.Done(); return nil }) // for 100 ms
		h := live.Handler(opened(t, hangs.(traigo.ScopeOption)))
		seen := make(map[time.Time]bool)
		for begin := time.Now(); time.Since(begin) < time.Minute; {
			_ = getText(h)
			seen[live.LooksTaken(h)] = true
		}
		assert.InDelta(t, 12, len(seen), 1)
	})
}

// A look at very many goroutines would stop the program for long.
func TestALookIsLeftOutWhereItWouldTakeLong(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector knows 8,128 goroutines")
	}
	s := traigo.New(context.Background(), traigo.Name("server"))
	defer closeCrowd(t, s)
	var started sync.WaitGroup
	started.Add(11_000)
	for range 11_000 {
		s.Spawn(func(ctx context.Context) error { started.Done(); return untilCanceled(ctx) }, traigo.Name("worker"))
	}
	started.Wait()
	h := live.Handler(s)
	live.LooksCost(h, 46*time.Microsecond)
	x := getJSON(t, h, "")
	assert.Empty(t, x.Places)
	assert.Zero(t, live.LooksTaken(h))
	assert.Regexp(t, `^With some 11,000 goroutines `, x.Note)
	assert.Contains(t, x.Note, "?stacks=force asks for it: that would stop the program for about 500ms.")
	assert.Equal(t, 200, get(h, "/?stacks=force").Code)
	live.LooksCost(h, time.Millisecond)
	x = getJSON(t, h, "")
	assert.NotEmpty(t, x.Places, "the dump was a look")
	assert.Empty(t, x.Note)
}

func TestWhoHoldsALimitAndWhoWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		pool := root.Fork(traigo.Name("pool"), traigo.Limit(1))
		defer func() { _ = pool.Close() }()
		pool.Spawn(func(ctx context.Context) error {
			pool.Spawn(nothing, traigo.Name("inner")) // into its own full scope
			return untilCanceled(ctx)
		}, traigo.Name("holder"))
		root.Spawn(func(context.Context) error { pool.Spawn(nothing); return nil }, traigo.Name("feeder"))
		synctest.Wait()
		h := live.Handler(root)
		time.Sleep(11 * time.Second)
		_ = getText(h)
		time.Sleep(11 * time.Second)
		x := getJSON(t, h, "")
		branch := x.Roots[0].Below[1]
		assert.Equal(t, "pool", branch.Name)
		assert.Equal(t, 2, branch.Waiting)
		assert.ElementsMatch(t, []string{"server/pool/holder", "server/feeder"}, branch.Blocked)
		assert.Equal(t, []string{"server/pool/holder"}, branch.Holders)
		assert.Regexp(t, `pool \(open, [^)]*limit 1 held by server/pool/holder, 2 waiting: server/`, getText(h))
		require.Len(t, x.Warnings, 1)
		assert.Equal(t, "limit-blocked", x.Warnings[0].Lint)
		assert.Regexp(t, `^held by server/pool/holder; waited for by (server/feeder|server/pool/holder), (server/feeder|server/pool/holder)$`, x.Warnings[0].Details[0])
	})
}

// A slot is taken by what is awaited, until that and its abandoned calls have ended.
func TestOnlyWhatHasASlotHoldsALimit(t *testing.T) {
	in := func(id uint64, name string, change func(*traigo.TaskSnapshot)) traigo.TaskSnapshot {
		return with(task(id, name), func(t *traigo.TaskSnapshot) { t.Scope = 3; change(t) })
	}
	pool := scope(3, "server",
		in(1, "tick", func(t *traigo.TaskSnapshot) { t.Awaited = false }),
		in(2, "gone", func(t *traigo.TaskSnapshot) { t.State = "given up" }),
		in(3, "other", func(t *traigo.TaskSnapshot) { t.State, t.Scope = "abandoned", 2 }),
		in(4, "run\n", func(*traigo.TaskSnapshot) {}),
		in(5, "call", func(t *traigo.TaskSnapshot) { t.State = "canceling" }),
		in(5, "call", func(t *traigo.TaskSnapshot) { t.State = "abandoned" }))
	node := func() branch { return decode(t, live.JSON(&live.LintState{}, at, "", pool)).Roots[0] }
	pool.Limit = 2
	assert.Empty(t, node().Holders, "nothing waits")
	pool.Waiting = 1
	assert.Equal(t, []string{`server/run\n`, "server/call"}, node().Holders)
	pool.Limit = 7
	for i := range uint64(5) {
		pool.Tasks = append(pool.Tasks, in(6+i, letters(int(i)), func(*traigo.TaskSnapshot) {}))
	}
	assert.Len(t, node().Holders, 5)
	assert.Contains(t, live.Text(&live.LintState{}, at, "", pool), "limit 7 held by server/run\\n, server/call, server/a, server/b, server/c, …, 1 waiting")
}

func TestLimitersInWhichSomebodyWaitsAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		assert.Empty(t, getJSON(t, h, "").Limiters)
		over := limits.Wait("pool", func(most int) limits.State {
			return limits.State{Limit: 2, InUse: 2, Holders: []string{"server/a\n"}, Waiting: 7, Waiters: []string{"server/b", "server/c"}[:min(2, most)]}
		})
		assert.Equal(t, []limiter{{Limit: 2, InUse: 2, Waiting: 7, Holders: []string{`server/a\n`}, Waiters: []string{"server/b", "server/c"}}}, getJSON(t, h, "").Limiters)
		assert.Contains(t, getText(h), "\nwaiting for units of a capacity.Limiter:\n  2 of 2 in use, held by server/a\\n; 7 waiting: server/b, server/c, …\n")
		over()
		assert.Empty(t, getJSON(t, h, "").Limiters)
	})
}

// Of other processes the snapshots of the function say it, if anything does.
func TestWhatAFunctionSaysOfWaitsIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withActor(t)
		h := live.HandlerFunc(func(ctx context.Context, s *traigo.Scope) (traigo.Snapshot, error) {
			shot, err := actors(ctx, s)
			shot.Scopes[0].Blocked = []string{"server/mid/serve"}
			inner := &shot.Scopes[0].Tasks[0]
			inner.Waits, inner.For, inner.At = "IO wait", 3*time.Minute, "serve.go:7"
			return shot, err
		}, s)
		mid := getJSON(t, h, "").Roots[0].Below[0]
		assert.Equal(t, "chan receive", mid.Waits, "this process is looked at here")
		assert.Equal(t, []string{"server/mid/serve"}, mid.Below[0].Blocked)
		serve := mid.Below[0].Below[0]
		assert.Equal(t, "IO wait", serve.Waits)
		assert.Equal(t, 3*time.Minute, serve.For)
		assert.Equal(t, "serve.go:7", serve.At)
	})
}
