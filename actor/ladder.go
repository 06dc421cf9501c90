package actor

import (
	"errors"
	"syscall"
	"time"
)

// endFor asks the process to end, and has it killed if it does not. It returns the error of the
// actor's task.
func (a *Actor) endFor(cause error) error {
	if !a.bringDown(cause) {
		return a.outcome(true)
	}
	return errors.Join(&GoneError{Actor: a.id, Err: a.exit(errKilled)}, a.failureBefore())
}

var errKilled = errors.New("it had to be killed")

// failureBefore returns the failure that the actor has told of before it had to be killed.
func (a *Actor) failureBefore() error {
	select {
	case <-a.link.ended:
		return a.link.ending(a.id, true)
	default:
		return nil
	}
}

const (
	ackTimeout  = 2 * time.Second // for an actor to acknowledge that it is to end
	termTimeout = time.Second     // for a signal to be acknowledged
)

// bringDown has the process ended, and reaped. It reports whether it had to be killed. First
// the process is asked; then its group gets SIGTERM, if it has not acknowledged in time, or has
// used up three quarters of its grace; at the end of that, SIGKILL.
func (a *Actor) bringDown(cause error) (killed bool) {
	c, exited := a.child, a.child.process.Exited()
	if a.grace == 0 {
		c.process.Signal(syscall.SIGKILL)
		<-exited
		return false
	}
	grace := here.graceFor(a.grace)
	spent := here.clock.stopwatch()
	gone := a.awaitExit()
	a.link.outbox.post(cancelActor, 0, cancelRequest{Grace: grace, Cause: asRemote(here.explain(cause))})
	within := func(d time.Duration) time.Duration { return max(min(d, grace-spent()), 0) }
	heard := here.clock.wait(within(min(ackTimeout, grace/2)), c.acks, gone)
	if heard && here.clock.wait(grace*3/4-spent(), gone, nil) {
		<-exited
		return false
	}
	c.process.Signal(syscall.SIGTERM)
	if here.clock.wait(within(termTimeout), c.acks, gone) {
		if here.clock.wait(within(grace), gone, nil) {
			<-exited
			return false
		}
	}
	c.process.Signal(syscall.SIGKILL)
	<-exited
	return !c.isKilled()
}

// awaitExit returns a channel that is closed when the process has been reaped. It lets the
// process exit once it has told how its scope has ended.
func (a *Actor) awaitExit() <-chan struct{} {
	exited := a.child.process.Exited()
	go func() {
		select {
		case <-a.link.ended:
			a.link.awaitCalls(2 * time.Second)
			a.link.close()
		case <-exited:
		}
	}()
	return exited
}
