package proc

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// A worker is a process of a pool, as it is seen here. It has one job at a time. The call
// that has given it the job receives what comes from it; of an idle worker nobody does, and
// its end is noticed without that.
type worker struct {
	pool    *Pool
	child   *Child
	link    *link
	started time.Time

	// Of the call that has the worker.
	enc     encoder
	dec     decoder
	hasInit bool // the call of Init was sent

	// Protected by the mu of the pool.
	job       string // the function that it runs; "" if it is idle
	calls     int
	isLeaving bool // it was asked to leave
	isKilled  bool // for a cancellation
	isGone    bool // it is not in the pool any more
	idleSince time.Time
	idleTimer *time.Timer // runs, or has found the worker at work

	mu        sync.Mutex
	number    uint32 // of the job that runs; 0 if none does
	lastJob   uint32
	killTimer *time.Timer
	asked     map[uint32]chan<- []traigo.Snapshot // snapshots that were asked for
	lastAsk   uint32
}

// startWorker starts a process for a call. It does so in a scope below the pool's: when that
// is closed, no process is there that was about to be started.
func (p *Pool) startWorker(ctx context.Context, name string) (w *worker, err error) {
	if p.scope == nil {
		if w, err = p.launch(ctx, name); err == nil {
			go w.awaitExit()
		}
		return w, err
	}
	s := traigo.New(p.scope.Context(), traigo.Name("start"), traigo.CancelTimeout(math.MaxInt64))
	s.Spawn(func(context.Context) error {
		if w, err = p.launch(ctx, name); w == nil {
			return nil // err is that of the call
		}
		if _, ok := p.scope.TrySpawn(w.live, traigo.Name(fmt.Sprint("worker ", w.child.Pid())),
			traigo.Bubble(false), traigo.CancelTimeout(math.MaxInt64)); ok { // jobs go on when the scope has ended
			return nil
		}
		w.leave()
		w.child.kill(nil)
		w.awaitExit()
		w, err = nil, p.refusal()
		return nil
	})
	outcome := s.Wait() // that the pool has ended, unless a Wrapper has intervened
	switch {
	case w != nil || err != nil:
	case p.scope.Context().Err() != nil:
		err = p.refusal()
	default:
		err = outcome
	}
	return w, err
}

// launch starts a process. It counts also those that have not come to serve.
func (p *Pool) launch(ctx context.Context, name string) (*worker, error) {
	child, err := launch(ctx, workerKind, name, &p.options)
	p.mu.Lock()
	defer p.mu.Unlock()
	if child == nil {
		return nil, err
	}
	p.counters.started++
	switch {
	case err == nil:
	case ctx.Err() != nil:
		p.counters.killed++
		return nil, err
	default:
		p.counters.broken++
		return nil, err
	}
	w := &worker{pool: p, child: child, link: newLink(child.conn.Conn), started: time.Now(), asked: map[uint32]chan<- []traigo.Snapshot{}}
	p.workers = append(p.workers, w)
	return w, nil
}

// awaitExit waits until the process has ended and was reaped.
func (w *worker) awaitExit() {
	<-w.child.exited
	w.pool.forget(w)
}

// live is the function of the task that stands for the worker in the pool. It returns when the
// process has ended. How, and after what, is the name of a scope, so that a recording has it.
func (w *worker) live(ctx context.Context) error {
	w.awaitExit()
	err := w.child.Err()
	_ = traigo.Run(context.WithoutCancel(ctx), func(context.Context, *traigo.Scope) error { return nil }, traigo.Name(w.describeEnd()))
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	if w.isKilled || w.isLeaving && w.pool.grace == 0 {
		return nil // it was to be killed
	}
	return err
}

// describeEnd says how the process has ended: "exit status 0 after 12 calls, peak 34 MiB".
func (w *worker) describeEnd() string {
	w.pool.mu.Lock()
	calls := w.calls
	w.pool.mu.Unlock()
	end, peak := "ended", int64(0)
	if state := w.child.cmd.ProcessState; state != nil {
		end, peak = state.String(), peakSize(state)
	}
	s := "s"
	if calls == 1 {
		s = ""
	}
	return fmt.Sprintf("%s after %d call%s, peak %d MiB", end, calls, s, peak>>20)
}

func (w *worker) isAlive() bool {
	select {
	case <-w.child.exited:
		return false
	default:
		return true
	}
}

// leave asks the process to end, and has it killed if it does not within the grace.
func (w *worker) leave() {
	w.pool.mu.Lock()
	isDue := !w.isLeaving && !w.isKilled && w.isAlive()
	if isDue {
		w.isLeaving = true
		w.pool.counters.retired++
	}
	w.pool.mu.Unlock()
	if !isDue {
		return
	}
	w.child.expire() // first: the worker may be stopped, and its socket full
	if w.pool.grace > 0 {
		w.link.post(doLeave, 0, 0, encodeJSON(nil))
	}
}

// restLocked is called when the worker becomes idle. The timer is not set again each time:
// that would cost as much as a wake-up.
func (w *worker) restLocked() {
	w.idleSince = time.Now()
	if d := w.pool.idleTimeout; d > 0 && w.idleTimer == nil {
		w.idleTimer = time.AfterFunc(d, func() { w.pool.leaveIdle(w) })
	}
}

func (w *worker) describeLocked() Worker {
	return Worker{Pid: w.child.Pid(), Func: w.job, Calls: w.calls, Started: w.started}
}

// begin begins a job and returns its number.
func (w *worker) begin() uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastJob++
	w.number = w.lastJob
	return w.number
}

// end ends the job that runs: it is not canceled any more, and its worker not killed for it.
func (w *worker) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.number = 0
	if w.killTimer != nil {
		w.killTimer.Stop()
		w.killTimer = nil
	}
	for i, c := range w.asked {
		close(c)
		delete(w.asked, i)
	}
}

// cancel tells the worker that the job is canceled, and has it killed if it does not answer.
func (w *worker) cancel(job uint32, cause error) {
	w.mu.Lock()
	runs := w.number == job && w.killTimer == nil
	if runs {
		w.killTimer = time.AfterFunc(w.pool.killAfter, func() { w.kill(job) })
	}
	w.mu.Unlock()
	if !runs || w.pool.killAfter == 0 {
		return // the job is over, or does not hear of it
	}
	w.link.post(doCancel, 0, job, encodeJSON(traigo.AsRemote(cause, where())))
}

// kill kills the worker because the job was canceled, if it still runs.
func (w *worker) kill(job uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.number != job {
		return
	}
	w.pool.mu.Lock()
	w.isKilled = true
	w.pool.mu.Unlock()
	w.child.kill(nil)
}

func (w *worker) wasKilled() bool {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	return w.isKilled
}

// ask returns the scopes that are in the process, with paths as if they were below path. It
// returns nil if the worker has not answered when ctx is done, or has no job any more.
func (w *worker) ask(ctx context.Context, path string, stacks bool) []traigo.Snapshot {
	reply := make(chan []traigo.Snapshot, 1)
	w.mu.Lock()
	if w.number == 0 {
		w.mu.Unlock()
		return nil
	}
	w.lastAsk++
	number := w.lastAsk
	w.asked[number] = reply
	w.mu.Unlock()
	var flags uint8
	if stacks {
		flags = withStacks
	}
	deadline, _ := ctx.Deadline()
	go w.link.post(doSnapshot, flags, number, encodeJSON(time.Until(deadline))) // a stopped worker may not read
	select {
	case shots := <-reply:
		rebase(shots, path, w.child.Pid())
		return shots
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.asked, number)
		return nil
	}
}

// deliver passes on the answer to ask.
func (w *worker) deliver(number uint32, shots []traigo.Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.asked[number]; c != nil {
		c <- shots
		delete(w.asked, number)
	}
}

// rebase makes snapshots of scopes of another process those of scopes below path. Each process
// counts its scopes from 1, and a viewer tells them apart by their IDs.
func rebase(shots []traigo.Snapshot, path string, pid int) {
	unique := func(id *uint64) {
		if *id != 0 {
			*id += uint64(pid) << 32
		}
	}
	for i := range shots {
		s := &shots[i]
		isOurs := s.Pid == 0 // otherwise of a process further away, which its parent has rebased
		if s.Path = path + "/" + s.Path; isOurs {
			s.Pid = pid
			unique(&s.ID)
		}
		for k := range s.Blocked {
			s.Blocked[k] = path + "/" + s.Blocked[k]
		}
		for k := range s.Tasks {
			t := &s.Tasks[k]
			if t.Path = path + "/" + t.Path; isOurs {
				unique(&t.Scope)
			}
		}
		rebase(s.Scopes, path, pid)
		for k := range s.Scopes {
			s.Scopes[k].Parent = s.ID
		}
	}
}
