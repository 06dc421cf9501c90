package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A job is the function of a task with each of the signatures that libraries expect. So no
// library is charged for a wrapper.
type job struct {
	plain func()
	err   func() error
	ctx   func(context.Context) error
}

func jobOf(f func()) job {
	return job{
		plain: f,
		err:   func() error { f(); return nil },
		ctx:   func(context.Context) error { f(); return nil },
	}
}

// busy is a job that computes for about d.
func busy(d time.Duration) job {
	turns := int(float64(d) * turnsPerNanosecond())
	return jobOf(func() { spin(turns) })
}

// spin computes something that the compiler cannot remove.
//
//go:noinline
func spin(turns int) {
	x := uint32(1)
	for range turns {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
	}
	if x == 0 {
		panic("bench: never happens, but the compiler does not know")
	}
}

var turnsPerNanosecond = sync.OnceValue(func() float64 {
	const turns = 1_000_000
	best := time.Hour
	for range 20 {
		begin := time.Now()
		spin(turns)
		best = min(best, time.Since(begin))
	}
	return turns / float64(best)
})

// A lot is a number of tasks that all park on one channel until it is closed.
type lot struct {
	job
	missing atomic.Int64  // tasks that have not parked
	left    atomic.Int64  // tasks that have not gone on
	full    chan struct{} // closed when all tasks have parked
	gate    chan struct{} // closed to let the tasks go on
}

func newLot(n int) *lot {
	l := &lot{full: make(chan struct{}), gate: make(chan struct{})}
	l.missing.Store(int64(n))
	l.left.Store(int64(n))
	l.job = jobOf(func() {
		l.arrive()
		<-l.gate
		l.left.Add(-1)
	})
	return l
}

// arrive is called by each task before it parks.
func (l *lot) arrive() {
	if l.missing.Add(-1) == 0 {
		close(l.full)
	}
}

// release waits until all tasks have parked, and lets them go on.
func (l *lot) release() {
	<-l.full
	close(l.gate)
}
