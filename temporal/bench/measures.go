package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// A bench is the owner of what it measures.
type bench struct {
	settings
	server  *process
	workers []*process

	client client.Client // by hand
	engine *temporal.Engine
	remote *temporal.Remote
	count  int // of bare workflows
	ours   int // of tasks of the remote
}

// all measures everything, and prints a row for each.
func (b *bench) all(ctx context.Context) error {
	var err error
	if b.client, err = dial(ctx); err != nil {
		return err
	}
	defer b.client.Close()
	if b.engine, err = temporal.Connect(ctx); err != nil {
		return err
	}
	defer b.engine.Close()
	err = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		if b.remote, err = temporal.Open(s, b.engine, queue, temporal.Lease(lease), temporal.InFlight(b.inFlight)); err != nil {
			return err
		}
		for _, f := range []func(context.Context) error{b.compare, b.history, b.cancel, b.cancelScope} {
			if err := f(ctx); err != nil {
				return err
			}
		}
		return nil
	}, traigo.Name("bench"))
	if err != nil {
		return err
	}
	return b.kill(ctx)
}

func (b *bench) compare(ctx context.Context) error {
	if err := errors.Join(b.bare(ctx, 4), b.traigo(ctx, 4)); err != nil { // who comes first pays for what is kept
		return err
	}
	for _, m := range []struct {
		what  string
		tasks int
		times int
	}{
		{"one task, spawn to result", 1, b.ones},
		{"50 at once", 50, b.fifties},
		{"1,000 at once", 1000, b.thousands},
	} {
		if m.times == 0 {
			continue
		}
		bare, ours := &sample{}, &sample{}
		for i := range m.times {
			first, second := func() error { return b.measure(ctx, bare, m.tasks, b.bare) }, func() error { return b.measure(ctx, ours, m.tasks, b.traigo) }
			if i%2 == 1 {
				first, second = second, first
			}
			if err := errors.Join(first(), second()); err != nil {
				return fmt.Errorf("%s: %w", m.what, err)
			}
		}
		what := fmt.Sprintf("%s, p50 and p90 of %d", m.what, m.times)
		if m.tasks > 1 {
			what = fmt.Sprintf("%s, median of %d", m.what, m.times)
		}
		row(what, bare.String(), ours.String(), ours.beside(bare))
		row("– processor time of owner + workers + server for a task", bare.usage(m.tasks), ours.usage(m.tasks), "")
	}
	return nil
}

// measure runs one side once.
func (b *bench) measure(ctx context.Context, into *sample, tasks int, side func(context.Context, int) error) error {
	before, begun := b.usage(), time.Now()
	err := side(ctx, tasks)
	into.took = append(into.took, time.Since(begun))
	after := b.usage()
	for i := range after {
		into.cpu[i] += after[i] - before[i]
	}
	return err
}

// usage is the processor time of the owner, the workers and the server.
func (b *bench) usage() (u [3]time.Duration) {
	u[0] = cpuOf(os.Getpid())
	for _, w := range b.workers {
		u[1] += w.cpu()
	}
	u[2] = b.server.cpu()
	return u
}

// traigo runs n tasks at once.
func (b *bench) traigo(ctx context.Context, n int) error {
	if b.only == "bare" {
		return nil
	}
	b.ours += n
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		for i := range n {
			s.Spawn(func(ctx context.Context) error {
				out, err := double.Run(ctx, b.remote, i)
				return check(i, out, err)
			})
		}
		return nil
	})
}

// bare runs n workflows at once, by hand, and starts as many at a time as package temporal does: a
// server to which a thousand are sent at the same moment answers few in time.
func (b *bench) bare(ctx context.Context, n int) error {
	if b.only == "traigo" {
		return nil
	}
	const startsAtOnce = 32
	starts := make(chan struct{}, startsAtOnce)
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		b.count++
		id := fmt.Sprintf("bare-%d-%d", os.Getpid(), b.count)
		all.Go(func() {
			starts <- struct{}{}
			run, err := b.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: bareQueue}, "bare", i)
			<-starts
			if err != nil {
				errs[i] = err
				return
			}
			var out int
			err = run.Get(ctx, &out)
			errs[i] = check(i, out, err)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func check(in, out int, err error) error {
	if err == nil && out != 2*in {
		return fmt.Errorf("the result of %d is %d", in, out)
	}
	return err
}

// history counts what a task leaves in the engine, and what a provider bills of it: of the first
// one, and on average of some of the last, which have waited for one another.
func (b *bench) history(ctx context.Context) error {
	var cells [2][4]string
	for side, of := range []struct {
		prefix string
		n      int
	}{{fmt.Sprintf("bare-%d-", os.Getpid()), b.count}, {b.remote.ID() + "/double-", b.ours}} {
		if of.n == 0 {
			continue
		}
		events, actions, err := b.countEvents(ctx, of.prefix+"1")
		if err != nil {
			return err
		}
		cells[side][0], cells[side][1] = strconv.Itoa(events), strconv.Itoa(actions)
		events, actions = 0, 0
		const some = 50
		for i := range some {
			e, a, err := b.countEvents(ctx, of.prefix+strconv.Itoa(max(of.n-i*10, 1)))
			if err != nil {
				return err
			}
			events, actions = events+e, actions+a
		}
		cells[side][2], cells[side][3] = fmt.Sprintf("%.1f", float64(events)/some), fmt.Sprintf("%.1f", float64(actions)/some)
	}
	for i, what := range []string{"history events of a task", "billed actions of a task", "history events, mean of 50 of the last", "billed actions, mean of 50 of the last"} {
		row(what, cells[0][i], cells[1][i], "")
	}
	return nil
}

// countEvents counts the events of a workflow, and the actions among them: a start, a signal, a
// timer, and each attempt of an activity. Heartbeats would come on top, and leave no event.
func (b *bench) countEvents(ctx context.Context, id string) (events, actions int, err error) {
	for h := b.client.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); h.HasNext(); events++ {
		ev, err := h.Next()
		if err != nil {
			return 0, 0, err
		}
		switch ev.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
			enumspb.EVENT_TYPE_TIMER_STARTED, enumspb.EVENT_TYPE_MARKER_RECORDED:
			actions++
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED:
			actions += int(ev.GetActivityTaskStartedEventAttributes().GetAttempt())
		case enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
			actions += 2
		default:
		}
	}
	return events, actions, nil
}

// cancel measures the time from the cancellation of one task to the end of the remote context.
func (b *bench) cancel(ctx context.Context) error {
	done, joined := &sample{}, &sample{}
	for i := range b.cancels {
		key := fmt.Sprintf("one-%d", i)
		t := until.Spawn(b.remote, key, traigo.Bubble(false))
		if _, err := await(ctx, "began "+key+";", b.workers...); err != nil {
			return err
		}
		begun := time.Now()
		t.Cancel(errors.New("measured"))
		<-t.Done()
		joined.took = append(joined.took, time.Since(begun))
		if err := b.awaitDone(ctx, done, begun, key); err != nil {
			return err
		}
	}
	if b.cancels > 0 {
		row(fmt.Sprintf("cancel of one task to its remote Done, p50 and p90 of %d", b.cancels), "", done.String(), "joined: "+joined.String())
	}
	return nil
}

// cancelScope is cancel, of a scope with several tasks: the last one counts.
func (b *bench) cancelScope(ctx context.Context) error {
	done, joined := &sample{}, &sample{}
	for i := range b.cancels {
		var begun time.Time
		var keys []string
		err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			r, err := temporal.Open(s, b.engine, queue, temporal.Lease(lease))
			if err != nil {
				return err
			}
			for j := range reaped {
				key := fmt.Sprintf("scope-%d-%d", i, j)
				keys = append(keys, key)
				until.Spawn(r, key)
			}
			for _, key := range keys {
				if _, err := await(ctx, "began "+key+";", b.workers...); err != nil {
					return err
				}
			}
			begun = time.Now()
			s.Cancel(errMeasured)
			return nil
		}, traigo.Name("canceled"))
		if !errors.Is(err, errMeasured) {
			return fmt.Errorf("a canceled scope: %w", err)
		}
		joined.took = append(joined.took, time.Since(begun))
		if err := b.awaitDone(ctx, done, begun, keys...); err != nil {
			return err
		}
	}
	if b.cancels > 0 {
		row(fmt.Sprintf("cancel of a scope to the last remote Done of its %d tasks, p50 and p90 of %d", reaped, b.cancels), "", done.String(), "joined: "+joined.String())
	}
	return nil
}

var errMeasured = errors.New("measured")

// awaitDone waits until the tasks of all keys have said when their contexts have ended, and adds
// the time until the last one.
func (b *bench) awaitDone(ctx context.Context, into *sample, begun time.Time, keys ...string) error {
	var last time.Duration
	for _, key := range keys {
		text, err := await(ctx, "done "+key+";", b.workers...)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		last = max(last, time.Unix(0, n).Sub(begun))
	}
	into.took = append(into.took, last)
	return nil
}

// kill kills owners, and measures until their tasks are canceled.
func (b *bench) kill(ctx context.Context) error {
	for _, d := range []time.Duration{2 * time.Second, 5 * time.Second} {
		done := &sample{}
		for i := range b.kills {
			key := fmt.Sprintf("owner-%v-%d", d, i)
			owner, err := start(ctx, "owner", "TRAIGO_BENCH_LEASE="+d.String(), "TRAIGO_BENCH_KEY="+key)
			if err != nil {
				return err
			}
			var keys []string
			for j := range reaped {
				keys = append(keys, fmt.Sprintf("%s-%d", key, j))
				if _, err := await(ctx, "began "+keys[j]+";", b.workers...); err != nil {
					owner.kill()
					return err
				}
			}
			// Between two renewals of the lease, as it comes in life: not right after one.
			select {
			case <-time.After(time.Duration(i) * d / 3 / time.Duration(b.kills)):
			case <-ctx.Done():
			}
			begun := time.Now()
			owner.kill()
			if err := b.awaitDone(ctx, done, begun, keys...); err != nil {
				return err
			}
		}
		if b.kills > 0 {
			row(fmt.Sprintf("owner killed to the last Done of its %d tasks, lease %v, median and worst of %d", reaped, d, b.kills), "",
				fmt.Sprintf("%s, %s", short(done.at(0.5)), short(done.at(1))), "")
		}
	}
	return nil
}

// A sample is what was measured of one side.
type sample struct {
	took []time.Duration
	cpu  [3]time.Duration
}

// at returns a quantile.
func (s *sample) at(q float64) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.took))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// String shows p50 and p90, or all if they are few.
func (s *sample) String() string {
	if len(s.took) >= 10 {
		return fmt.Sprintf("%s, %s", short(s.at(0.5)), short(s.at(0.9)))
	}
	var all []string
	for _, d := range s.took {
		all = append(all, short(d))
	}
	return fmt.Sprintf("%s (%s)", short(s.at(0.5)), strings.Join(all, ", "))
}

func (s *sample) beside(bare *sample) string {
	return fmt.Sprintf("%.2f ×", s.at(0.5).Seconds()/bare.at(0.5).Seconds())
}

func (s *sample) usage(tasks int) string {
	var all []string
	for _, d := range s.cpu {
		all = append(all, fmt.Sprintf("%.1f", float64(d.Microseconds())/1000/float64(tasks*len(s.took))))
	}
	return strings.Join(all, " + ") + " ms"
}

func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func row(cells ...string) { fmt.Fprintf(os.Stdout, "| %s |\n", strings.Join(cells, " | ")) }
