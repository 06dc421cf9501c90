package temporal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"github.com/traigo/traigo"
)

// A WorkOption is an option of [Work], or a [Function].
type WorkOption interface{ work(w *work) }

type slots int

func (n slots) work(w *work) { w.slots = int(n) }

// Slots lets a worker run at most n tasks at once; 100 by default. It panics if n is less than 1.
func Slots(n int) WorkOption {
	if n < 1 {
		panic(fmt.Sprintf("traigo: temporal.Slots(%d): at least 1", n))
	}
	return slots(n)
}

// work is a worker.
type work struct {
	engine    *Engine
	queue     string
	slots     int
	functions map[string]callable
	scope     *traigo.Scope // "worker QUEUE"
	watches   *watches
	fatal     chan error
	running   atomic.Int64 // attempts

	mu    sync.Mutex
	ended []endedTask // not long ago, in order
}

// An endedTask is a task whose last attempt has ended here. What is left of it is the last step of its
// workflow.
type endedTask struct {
	id, run string
	at      time.Time
}

// Work makes this process a worker of a queue, for the functions that are given. It returns nil when
// Stopping(ctx) is closed and what runs then has ended: it takes nothing more from there on.
// When ctx is done it cancels what runs, returns when that has returned, with the cause, and other
// workers begin it again at once.
//
// Each task is a task of the scope "worker QUEUE", which Work opens. An engine that goes away is
// waited for, with a record at WARN. Work is made for Scope.Spawn, and handles no signals:
//
//	s.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, engine, "images", resize) })
//
// The error wraps [ErrEngine] if the engine refuses. Work panics if ctx, e or an option is nil, if
// the queue is empty, if no function is given, and if two have the same name.
func Work(ctx context.Context, e *Engine, queue string, with ...WorkOption) error {
	switch {
	case ctx == nil:
		panic("traigo: temporal.Work: the context is nil")
	case e == nil:
		panic("traigo: temporal.Work: the engine is nil")
	case queue == "":
		panic("traigo: temporal.Work: the queue has no name")
	}
	w := &work{engine: e, queue: queue, slots: 100, functions: map[string]callable{}, fatal: make(chan error, 1)}
	for _, o := range with {
		if o == nil {
			panic("traigo: temporal.Work: an option is nil")
		}
		o.work(w)
	}
	if len(w.functions) == 0 {
		panic("traigo: temporal.Work: no function is given")
	}
	return traigo.Run(ctx, w.serve, traigo.Name("worker "+queue))
}

// serve is the body of the scope of the worker.
func (w *work) serve(ctx context.Context, s *traigo.Scope) error {
	w.scope = s
	w.watches = &watches{engine: w.engine, ctx: context.WithoutCancel(ctx), of: map[scopeRun]*watch{}}
	defer w.watches.end()
	sdk, err := w.start(ctx)
	if sdk != nil {
		defer w.stop(sdk)
	}
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-traigo.Stopping(ctx):
	case <-w.engine.closed:
		err = fmt.Errorf("%w: %w", ErrEngine, errClosed)
	case fatal := <-w.fatal:
		err = fmt.Errorf("%w at %s: the worker for queue %q has failed: %w", ErrEngine, w.engine.address, w.queue, fatal)
	}
	if err != nil {
		s.Cancel(err) // a scope that is canceled already has a cause
	}
	return err
}

// start starts the SDK's worker. It returns none if Work is to end before the engine has answered.
func (w *work) start(ctx context.Context) (sdk worker.Worker, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var stopping sync.WaitGroup
	stopping.Go(func() {
		defer cancel()
		select {
		case <-traigo.Stopping(ctx):
		case <-w.engine.closed:
		case <-ctx.Done():
		}
	})
	defer stopping.Wait()
	defer cancel()
	sdk, err = w.engine.startWorker(ctx, w.newWorker)
	if err != nil && ctx.Err() != nil {
		return nil, nil // why, serve finds out
	}
	return sdk, err
}

// stop stops the SDK's worker, which waits for what runs. That goes with the last steps of workflows, too,
// without which no owner would hear of what has ended here until another worker comes. So a
// worker for these alone outlasts it until they are done, or for endTimeout.
func (w *work) stop(sdk worker.Worker) {
	if w.running.Load() == 0 && len(w.endedLately()) == 0 {
		sdk.Stop()
		return
	}
	steps := w.newWorkerFor(true)
	if steps.Start() == nil {
		defer steps.Stop()
	}
	sdk.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	for _, t := range w.endedLately() {
		_, _ = new(waiter).await(ctx, w.engine, t.id, t.run)
	}
}

// hasEnded is called when the last attempt of a task has ended.
func (w *work) hasEnded(a *attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = append(w.endedLatelyLocked(), endedTask{a.Task, a.taskRun, time.Now()})
}

func (w *work) endedLately() []endedTask {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.endedLatelyLocked()
}

func (w *work) endedLatelyLocked() []endedTask {
	i := 0
	for i < len(w.ended) && time.Since(w.ended[i].at) > endTimeout {
		i++
	}
	return w.ended[i:]
}

func (w *work) newWorker() worker.Worker { return w.newWorkerFor(false) }

// newWorkerFor returns a worker of the SDK, for all or for the steps of workflows alone.
func (w *work) newWorkerFor(stepsOnly bool) worker.Worker {
	sdk := worker.New(w.engine.client, w.queue, worker.Options{
		Identity:                           w.engine.identity,
		LocalActivityWorkerOnly:            stepsOnly,
		MaxConcurrentActivityExecutionSize: w.slots,
		StickyScheduleToStartTimeout:       time.Second, // a worker that is gone is waited for
		WorkerStopTimeout:                  forever,     // the tasks are those of s, which joins them
		OnFatalError: func(err error) {
			select {
			case w.fatal <- err:
			default:
			}
		},
	})
	registerWorkflows(sdk)
	sdk.RegisterDynamicActivity(w.attempt, activity.DynamicRegisterOptions{})
	return sdk
}

// names lists the functions of the worker.
func (w *work) names() string {
	return strings.Join(slices.Sorted(maps.Keys(w.functions)), ", ")
}
