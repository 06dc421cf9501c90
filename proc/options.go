package proc

import (
	"fmt"
	"os/exec"
	"runtime"
	"time"
)

// An Option of [Open], or of [Launch].
type Option func(*options)

type options struct {
	limit       int
	killAfter   time.Duration
	grace       time.Duration
	idleTimeout time.Duration
	memory      int64
	init        *initial
	retire      func(Worker) bool
	commands    []func(*exec.Cmd)
	isForPool   bool // one of the options was given that only a pool has
}

// An initial is the call that a new worker makes before its first job.
type initial struct {
	name string
	in   any // a *box
}

func newOptions(call string, opts []Option) options {
	o := options{limit: runtime.GOMAXPROCS(0), killAfter: time.Second, grace: 5 * time.Second, idleTimeout: time.Minute}
	for _, set := range opts {
		if set == nil {
			panic("traigo: proc." + call + ": an option is nil")
		}
		set(&o)
	}
	return o
}

// Limit sets how many workers of a pool are at work at most, and so how many calls run at
// once; others wait. Workers that are leaving come on top. A call that waits while its caller
// holds a place, as in the loop over a Source, may wait for itself. The default is
// runtime.GOMAXPROCS(0). Limit panics if n is less than 1.
func Limit(n int) Option {
	if n < 1 {
		panic(fmt.Sprintf("traigo: proc.Limit(%d): a pool has at least 1 worker", n))
	}
	return func(o *options) { o.limit, o.isForPool = n, true }
}

// KillAfter sets how long after the cancellation of a call its worker is killed, unless it
// has answered. A worker that is still starting is killed at once. The default is 1 s. With 0 it is killed at once, and its job does not hear of
// the cancellation. KillAfter panics if d is negative.
func KillAfter(d time.Duration) Option {
	mustNotBeNegative("KillAfter", d)
	return func(o *options) { o.killAfter = d }
}

// Grace sets how long a worker that is to leave has for it; then it is killed. The default
// is 5 s. With 0 it is killed at once. Grace panics if d is negative.
func Grace(d time.Duration) Option {
	mustNotBeNegative("Grace", d)
	return func(o *options) { o.grace = d }
}

// IdleTimeout sets after what time without a job a worker leaves. The default is 1 min. With
// 0 it stays as long as its pool. IdleTimeout panics if d is negative.
func IdleTimeout(d time.Duration) Option {
	mustNotBeNegative("IdleTimeout", d)
	return func(o *options) { o.idleTimeout, o.isForPool = d, true }
}

// Memory limits the resident size of each worker to so many bytes. The Go runtime of the
// worker gets a soft limit of 90 % of that. While a job runs the size is looked at every
// 10 ms, and a worker that is larger is killed: the error of the call is then a
// [*BrokenWorkerError] that wraps [ErrMemory]. What C code has allocated, and what is mapped,
// counts; other processes that the job has started do not. Memory panics if bytes is less
// than 1.
//
// It is the memory of a process: what earlier jobs have left counts, and a Go program that
// does nothing has some 10 MiB.
func Memory(bytes int64) Option {
	if bytes < 1 {
		panic(fmt.Sprintf("traigo: proc.Memory(%d): a process needs some memory; leave the option out for no limit", bytes))
	}
	return func(o *options) { o.memory = bytes }
}

// Init has each new worker call f with in before its first job. The context of that call is
// the one of a scope of the worker's own, which lives as long as the worker: what f spawns
// in traigo.Current(ctx) is canceled and joined when the worker leaves. If that scope fails,
// the worker exits with 1. If f fails, the worker ends, and the call that has started it
// fails with a [*BrokenWorkerError] that wraps the error. The time that f takes is part of
// that call. Init panics if f is nil.
func Init[In, Out any](f *Function[In, Out], in In) Option {
	if f == nil {
		panic("traigo: proc.Init: the function is nil")
	}
	return func(o *options) { o.init, o.isForPool = &initial{f.name, &box[In]{in}}, true }
}

// Retire has f asked after each job whether its worker is to leave. f is called in this
// process, by the goroutine of the call. Retire panics if f is nil.
func Retire(f func(Worker) bool) Option {
	if f == nil {
		panic("traigo: proc.Retire: the function is nil")
	}
	return func(o *options) { o.retire, o.isForPool = f, true }
}

// Command has f shown the command of each worker before it starts. f may set Env, Dir,
// Stdout, Stderr and SysProcAttr, append to ExtraFiles, and set Path to another program that
// serves the same functions. It must leave Args and the first of ExtraFiles alone; a call
// panics otherwise. Setpgid, Pgid, Pdeathsig and PidFD of SysProcAttr are set afterwards. A
// worker must have the user of its parent, and see the same processes: with a Credential of
// another user, CLONE_NEWPID or CLONE_NEWUSER calls fail. f may be called by several
// goroutines at once, and workers write to Stdout and Stderr at the same time. A Write that
// blocks holds up the end of its worker. Of several Commands each is called. Command panics
// if f is nil.
func Command(f func(*exec.Cmd)) Option {
	if f == nil {
		panic("traigo: proc.Command: the function is nil")
	}
	return func(o *options) { o.commands = append(o.commands, f) }
}

func mustNotBeNegative(option string, d time.Duration) {
	if d < 0 {
		panic(fmt.Sprintf("traigo: proc.%s(%v): a duration is not negative", option, d))
	}
}
