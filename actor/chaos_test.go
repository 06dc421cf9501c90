//go:build linux

package actor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// Processes that die while much is going on.

// chaosItems yields numbers with something behind them, for ever if N is 0.
var chaosItems = actor.Source("life.items", func(_ context.Context, o order) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for i := 0; o.N == 0 || i < o.N; i++ {
			if !yield(strconv.Itoa(i)+strings.Repeat(" ", 1000), nil) {
				return
			}
		}
		if o.Do == "fail" {
			yield("", &lifeError{o.N})
		}
	}
})

// chaosTalk sends back what comes.
var chaosTalk = actor.Dialog("life.talk", func(_ context.Context, o order, started actor.Started[string, string, string]) (int, error) {
	p, err := started(actor.Self().Path)
	if err != nil {
		return 0, err
	}
	n := 0
	for text, err := range p.Items() {
		if err != nil {
			return n, err
		}
		if err := p.Send(text); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
})

// seedOf returns a seed that is told, or the one that is asked for.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TRAIGO_CHAOS_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("TRAIGO_CHAOS_SEED=%d", seed)
	return seed
}

// One process is killed, at a random moment, while the tree starts, calls, streams and talks. The
// outcome says which.
func TestStressWhoeverIsKilledIsNamed(t *testing.T) {
	leavesNothing(t)
	logged(t)
	random := rand.New(rand.NewPCG(seedOf(t), 1))
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		delay := time.Duration(random.IntN(250)) * time.Millisecond
		choice := random.IntN(1 << 20)
		victim := 0
		err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
			for i := range 3 {
				s.Spawn(func(ctx context.Context) error { return keepBusy(ctx, s, fmt.Sprint("mid", i)) })
			}
			<-time.After(delay)
			require.Eventually(t, func() bool {
				all := slices.DeleteFunc(marked(), func(pid int) bool { return !hasExecuted(pid) })
				if len(all) == 0 {
					return false
				}
				slices.Sort(all)
				victim = all[choice%len(all)]
				return true
			}, soon, time.Millisecond)
			require.NoError(t, send(victim, syscall.SIGKILL))
			select {
			case <-ctx.Done():
			case <-time.After(soon):
				assert.Fail(t, "nobody has noticed", "round %d: process %d was killed after %v", round, victim, delay)
			}
		})
		gone, ok := errors.AsType[*actor.GoneError](err)
		require.True(t, ok, "round %d: %v", round, err)
		assert.Equal(t, victim, gone.Actor.Pid, "round %d: %v", round, err)
		assert.Contains(t, err.Error(), fmt.Sprintf("actor %q has gone: signal: killed", gone.Actor.Path), "round %d", round)
		var outcome *traigo.Error
		require.ErrorAs(t, err, &outcome)
		for _, other := range outcome.Others {
			also, ok := errors.AsType[*actor.GoneError](other)
			assert.True(t, ok && also.Actor == gone.Actor, "round %d: nothing else has happened: %v", round, other)
		}
	}
}

// keepBusy starts an actor with two below it, and has all kinds of calls into them.
func keepBusy(ctx context.Context, s *traigo.Scope, name string) error {
	a, err := actor.Start(ctx, s, name, actor.Expose(do, chaosItems, chaosTalk))
	if err != nil {
		return err
	}
	busy := []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := do.Run(ctx, a, order{Do: "child", Name: "a", Next: &order{Do: "wait"}})
			return err
		},
		func(ctx context.Context) error {
			_, err := do.Run(ctx, a, order{Do: "child", Name: "b", Next: &order{Do: "spin"}, For: 200 * time.Millisecond})
			return err
		},
		func(ctx context.Context) error {
			for _, err := range chaosItems.Run(ctx, a, order{}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		func(ctx context.Context) error { // nobody reads what comes
			_, err := chaosTalk.Run(ctx, a, order{}, func(ctx context.Context, _ string, p *actor.Peer[string, string]) error {
				for {
					if err := p.Send(strings.Repeat("x", 10_000)); err != nil {
						return err
					}
				}
			})
			return err
		},
		func(ctx context.Context) error {
			for {
				if _, err := do.Run(ctx, a, order{Do: "look"}); err != nil {
					return err
				}
			}
		},
	}
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		for _, f := range busy {
			s.Spawn(f)
		}
		return nil
	})
}

// A stream whose context ends while items are unread, and whose function has returned nil, is not
// one that has come to its end.
func TestStreamThatIsCutOffSaysSo(t *testing.T) {
	leavesNothing(t)
	const n = 150
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a, err := actor.Start(ctx, s, "a", actor.Expose(do, chaosItems, chaosTalk))
		require.NoError(t, err)
		for range 30 {
			own, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			i := 0
			var last error
			for _, err := range chaosItems.Run(own, a, order{N: n}) {
				if last = err; err != nil {
					break
				}
				if i++; i == 1 {
					_, err := do.Run(ctx, a, order{Do: "look"}) // the items are under way meanwhile
					require.NoError(t, err)
					cancel(errLife)
				}
			}
			if i < n {
				require.ErrorIs(t, last, errLife, "%d of %d items", i, n)
			}
		}
	}))
}

// A member is an actor of the chaos, and what was done to it.
type member struct {
	a     *actor.Actor
	asked atomic.Bool // Cancel or Kill by us
	hurt  atomic.Bool // a signal to it, or to one below, or a function that makes it fail
}

// A crowd is what the chaos happens to.
type crowd struct {
	t      *testing.T
	s      *traigo.Scope
	names  atomic.Int64
	counts [20]atomic.Int64

	mu      sync.Mutex
	all     []*member // also those that have ended
	stopped []int
}

const crowdSize = 8

// TestStressChaos does at random what can be done with actors, and looks whether each error says
// what has happened, and whether anything is left. TRAIGO_CHAOS says for how long.
func TestStressChaos(t *testing.T) {
	leavesNothing(t)
	logged(t)
	written(t)
	d := 4 * time.Second
	if text := os.Getenv("TRAIGO_CHAOS"); text != "" {
		var err error
		d, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	seed := seedOf(t)
	c := &crowd{t: t}
	until := time.Now().Add(d)
	began := time.Now()
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		c.s = s
		var workers sync.WaitGroup
		for i := range 4 {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			workers.Go(func() {
				for time.Now().Before(until) && !t.Failed() {
					c.step(ctx, random)
				}
			})
		}
		workers.Wait()
		began = time.Now()
	})
	require.NoError(t, err, "nothing bubbles here")
	assert.Less(t, time.Since(began), 15*time.Second, "each has a Grace of a second")
	hurt, ended := 0, 0
	for _, m := range c.all {
		requireClosed(t, m.a.Done(), "the scope has ended")
		if m.hurt.Load() {
			hurt++
		}
		if c.judge(m, m.a.Err(), "Err of "+m.a.Name()) {
			ended++
		}
	}
	var counts []string
	for i, what := range chaos {
		counts = append(counts, fmt.Sprintf("%s %d", what.name, c.counts[i].Load()))
	}
	t.Logf("%d actors, of which %d were hurt and %d have an error; %s", len(c.all), hurt, ended, strings.Join(counts, ", "))
}

// chaos is what can be done.
var chaos = []struct {
	name string
	odds int
	do   func(c *crowd, ctx context.Context, random *rand.Rand)
}{
	{"start", 12, (*crowd).start},
	{"call", 20, (*crowd).call},
	{"stream", 12, (*crowd).stream},
	{"talk", 12, (*crowd).talk},
	{"nest", 6, (*crowd).nest},
	{"find", 10, (*crowd).find},
	{"spawn", 5, (*crowd).spawn},
	{"cancel", 4, func(c *crowd, _ context.Context, random *rand.Rand) {
		if m := c.pick(random); m != nil {
			m.asked.Store(true)
			m.a.Cancel([]error{nil, errLife}[random.IntN(2)])
		}
	}},
	{"kill", 2, func(c *crowd, _ context.Context, random *rand.Rand) {
		if m := c.pick(random); m != nil {
			m.asked.Store(true)
			m.a.Kill()
		}
	}},
	{"SIGKILL", 3, func(c *crowd, _ context.Context, random *rand.Rand) { c.signal(random, syscall.SIGKILL) }},
	{"SIGTERM", 2, func(c *crowd, _ context.Context, random *rand.Rand) { c.signal(random, syscall.SIGTERM) }},
	{"SIGSTOP", 3, func(c *crowd, _ context.Context, random *rand.Rand) { c.signal(random, syscall.SIGSTOP) }},
	{"SIGCONT", 3, func(c *crowd, _ context.Context, _ *rand.Rand) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, pid := range c.stopped {
			if slices.Contains(marked(), pid) {
				_ = send(pid, syscall.SIGCONT)
			}
		}
		c.stopped = nil
	}},
}

func (c *crowd) step(ctx context.Context, random *rand.Rand) {
	sum := 0
	for _, what := range chaos {
		sum += what.odds
	}
	n := random.IntN(sum)
	for i, what := range chaos {
		if n -= what.odds; n >= 0 {
			continue
		}
		c.counts[i].Add(1)
		began := time.Now()
		what.do(c, ctx, random)
		assert.Less(c.t, time.Since(began), 20*time.Second, "%s takes too long", what.name)
		return
	}
}

// alive returns those that have not ended, as far as is known.
func (c *crowd) alive() (alive []*member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.all {
		select {
		case <-m.a.Done():
		default:
			alive = append(alive, m)
		}
	}
	return alive
}

func (c *crowd) pick(random *rand.Rand) *member {
	alive := c.alive()
	if len(alive) == 0 {
		return nil
	}
	return alive[random.IntN(len(alive))]
}

// judge checks an error that is about a member. It reports whether there is one.
func (c *crowd) judge(m *member, err error, what string) bool {
	if err == nil {
		return false
	}
	id := m.a.ID()
	assert.True(c.t, m.hurt.Load() || m.asked.Load(), "%s: nobody has done anything to it: %v", what, err)
	isBelow := func(path string) bool { return path == id.Path || strings.HasPrefix(path, id.Path+"/") }
	named := false
	if gone, ok := errors.AsType[*actor.GoneError](err); ok {
		named = true
		assert.True(c.t, isBelow(gone.Actor.Path), "%s: %v", what, err)
		assert.True(c.t, m.hurt.Load() || !isBelow(gone.Actor.Path) || m.asked.Load(), "%s: %v", what, err)
	}
	if remote, ok := errors.AsType[*actor.Error](err); ok {
		named = true
		assert.True(c.t, isBelow(remote.From.Path), "%s: %v", what, err)
		assert.Equal(c.t, id, remote.Path[len(remote.Path)-1], "%s: %v", what, err)
	}
	if canceled, ok := errors.AsType[*actor.Canceled](err); ok {
		named = true
		assert.True(c.t, isBelow(canceled.Actor.Path), "%s: %v", what, err)
	}
	assert.True(c.t, named, "%s names nobody: %v", what, err)
	return true
}

// judgeCall checks the error of a call. Its context may have ended, and the function may fail with
// a number.
func (c *crowd) judgeCall(m *member, err error, number int, what string) {
	if err == nil {
		return
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errLife) {
		return
	}
	if n, ok := errors.AsType[*lifeError](err); ok && number > 0 {
		assert.Equal(c.t, number, n.N, what)
		remote, ok := errors.AsType[*actor.Error](err)
		if assert.True(c.t, ok, "%s: %v", what, err) {
			assert.Equal(c.t, m.a.ID(), remote.From, what)
		}
		return
	}
	c.judge(m, err, what)
}

func (c *crowd) start(ctx context.Context, _ *rand.Rand) {
	if len(c.alive()) >= crowdSize {
		return
	}
	name := fmt.Sprint("c", c.names.Add(1))
	a, err := actor.Start(ctx, c.s, name, actor.Expose(do, chaosItems, chaosTalk), actor.Findable(), actor.Grace(time.Second),
		actor.Task(traigo.Bubble(false)))
	if !assert.NoError(c.t, err, "nobody can have hurt it") {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, &member{a: a})
}

// short returns a context that ends soon, with a time-out or a cause.
func short(ctx context.Context, random *rand.Rand) (context.Context, context.CancelFunc) {
	d := time.Duration(random.IntN(60)) * time.Millisecond
	if random.IntN(2) == 0 {
		return context.WithTimeout(ctx, d)
	}
	own, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(d, func() { cancel(errLife) })
	return own, func() { timer.Stop(); cancel(nil) }
}

func (c *crowd) call(ctx context.Context, random *rand.Rand) {
	m := c.pick(random)
	if m == nil {
		return
	}
	number := 1 + random.IntN(1000)
	o := []order{{Do: "look"}, {Do: "fail", N: number}, {Do: "wait"}, {Do: "nap", N: number, For: 5 * time.Millisecond}, {Do: "linger", For: 20 * time.Millisecond}}[random.IntN(5)]
	own, cancel := short(ctx, random)
	defer cancel()
	_, err := do.Run(own, m.a, o)
	c.judgeCall(m, err, number, "call of "+o.Do)
}

func (c *crowd) stream(ctx context.Context, random *rand.Rand) {
	m := c.pick(random)
	if m == nil {
		return
	}
	n, at := random.IntN(200), random.IntN(300)
	own, cancel := short(ctx, random)
	defer cancel()
	i := 0
	for item, err := range chaosItems.Run(own, m.a, order{N: n}) {
		if err != nil {
			c.judgeCall(m, err, 0, "stream")
			return
		}
		number, _, _ := strings.Cut(item, " ")
		assert.Equal(c.t, strconv.Itoa(i), number, "in order, each once")
		if i++; i == at {
			return
		}
	}
	assert.True(c.t, n == 0 || i == n, "%d of %d items, and no error", i, n)
}

func (c *crowd) talk(ctx context.Context, random *rand.Rand) {
	m := c.pick(random)
	if m == nil {
		return
	}
	n := random.IntN(50)
	own, cancel := short(ctx, random)
	defer cancel()
	sent, err := chaosTalk.Run(own, m.a, order{}, func(_ context.Context, first string, p *actor.Peer[string, string]) error {
		assert.Equal(c.t, m.a.ID().Path, first)
		for i := range n {
			if err := p.Send(strconv.Itoa(i)); err != nil {
				return err
			}
			text, err := p.Recv()
			if err != nil {
				return err
			}
			assert.Equal(c.t, strconv.Itoa(i), text)
		}
		return nil
	})
	if err == nil {
		assert.Equal(c.t, n, sent)
		return
	}
	if errors.Is(err, io.EOF) {
		assert.Fail(c.t, "the function has not returned first", "%v", err)
	}
	c.judgeCall(m, err, 0, "talk")
}

// nest starts one below.
func (c *crowd) nest(ctx context.Context, random *rand.Rand) {
	m := c.pick(random)
	if m == nil {
		return
	}
	own, cancel := short(ctx, random)
	defer cancel()
	// The start of one that is below has the context of the call, and so may end with it.
	_, err := do.Run(own, m.a, order{Do: "child", Name: "leaf", For: time.Second, Next: &order{Do: []string{"look", "wait"}[random.IntN(2)]}})
	c.judgeCall(m, err, 0, "nest")
}

func (c *crowd) find(ctx context.Context, random *rand.Rand) {
	m := c.pick(random)
	if m == nil {
		return
	}
	own, cancel := short(ctx, random)
	defer cancel()
	err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		b, err := actor.Find(own, s, m.a.Name())
		if err != nil {
			return err
		}
		assert.Equal(c.t, m.a.ID(), b.ID())
		if random.IntN(10) == 0 {
			m.asked.Store(true)
			b.Cancel(errLife)
			return nil
		}
		_, err = do.Run(own, b, order{Do: []string{"look", "wait"}[random.IntN(2)]})
		return err
	})
	if errors.Is(err, actor.ErrNotFound) {
		assert.True(c.t, m.asked.Load() || m.hurt.Load(), "it must be there: %v", err)
		return
	}
	c.judgeCall(m, err, 0, "find")
}

func (c *crowd) spawn(ctx context.Context, random *rand.Rand) {
	number := 1 + random.IntN(1000)
	name := fmt.Sprint("s", c.names.Add(1))
	o := []order{{Do: "look"}, {Do: "fail", N: number}, {Do: "exit", N: 3}, {Do: "wait"}}[random.IntN(4)]
	f := do.Spawn(c.s, o, actor.Grace(time.Second), actor.Task(traigo.Bubble(false), traigo.Name(name)))
	own, cancel := short(ctx, random)
	defer cancel()
	<-own.Done()
	f.Task().Cancel(errLife)
	r, err := f.Await(ctx)
	if err == nil {
		assert.Equal(c.t, "root/"+name, r.ID.Path)
		return
	}
	switch n, isNumber := errors.AsType[*lifeError](err); {
	case isNumber:
		assert.Equal(c.t, number, n.N)
	case errors.Is(err, errLife):
	default:
		gone, ok := errors.AsType[*actor.GoneError](err)
		assert.True(c.t, ok && o.Do == "exit" && gone.Actor.Path == "root/"+name, "%s: %v", o.Do, err)
	}
}

// signal sends a signal to a member, or to one below.
func (c *crowd) signal(random *rand.Rand, sig syscall.Signal) {
	m := c.pick(random)
	if m == nil {
		return
	}
	pid := m.a.ID().Pid
	if below := slices.DeleteFunc(childrenOf(pid), func(pid int) bool { return !hasExecuted(pid) }); len(below) > 0 && random.IntN(2) == 0 {
		pid = below[random.IntN(len(below))]
	}
	if !slices.Contains(marked(), pid) {
		return
	}
	m.hurt.Store(true)
	if send(pid, sig) == nil && sig == syscall.SIGSTOP {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stopped = append(c.stopped, pid)
	}
}
