//go:build unix

package record

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// quitTimeout is how long SIGQUIT waits for the census of stacks to be written.
const quitTimeout = 5 * time.Second

// watchQuit starts a goroutine that waits for SIGQUIT. It ends when the recorder has finished.
func (r *Recorder) watchQuit() {
	if signal.Ignored(syscall.SIGQUIT) {
		return // it stays so
	}
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGQUIT)
	go func() {
		defer signal.Stop(received)
		select {
		case <-r.finished:
		case <-received:
			r.writeLastCensus()
			// Stop, not Reset: if other recorders, or the program, wait for the signal as
			// well, they get it once more, and the last of them to call Stop ends the process.
			signal.Stop(received)
			_ = syscall.Kill(os.Getpid(), syscall.SIGQUIT)
		}
	}()
}

// writeLastCensus writes a census of stacks and all lines. It gives up if the writer is stuck.
func (r *Recorder) writeLastCensus() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		r.reportQuit()
		r.flushHere()
	}()
	timeout := time.NewTimer(quitTimeout)
	defer timeout.Stop()
	select {
	case <-written:
	case <-timeout.C:
	}
}

func (r *Recorder) reportQuit() {
	r.mu.Lock()
	roots := r.alive.roots()
	r.mu.Unlock()
	lines := r.takeCensus("SIGQUIT", roots).lines()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report = lines
}
