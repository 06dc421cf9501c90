package record

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// A Recorder is a [traigo.Observer] that writes the events it is given to a log. It may
// observe any number of scopes, and a scope may have several recorders. Its methods may be
// called from any goroutine.
//
// A recorder that observes a scope also observes the scopes below it. If it is given to one
// of these once more, it writes each event of that scope twice.
type Recorder struct {
	settings
	t0       time.Time     // the zero of the times in the log
	run      string        // identifies the recording
	wake     chan struct{} // wakes the writer goroutine; holds at most one value
	finished chan struct{} // closed when nothing more will be written
	err      error         // the result of Close, set before finished is closed

	// mu guards the fields below. It is a leaf: while it is held no foreign code is
	// called and nothing blocks.
	mu       sync.Mutex
	buf      []byte // lines that no flush has taken yet
	spare    []byte // the other buffer; nil while a flush writes it
	extra    int    // bytes that buf may hold beyond half
	dropping bool   // buf is full: events are dropped until the next flush
	dropped  uint64 // lines dropped, all of which would follow those in buf
	flushNow bool   // the writer must not wait for more lines
	closing  bool   // events are ignored
	alive    alive
	waiters
	rotation
	pulse

	// outMu serializes flushes and guards the fields below. It is locked before mu.
	outMu  chanMutex
	out    output
	loss   loss
	warned bool // the first loss has been logged
}

// Create creates the file at path and returns a recorder that writes to it.
//
// If there is a recording at path already, it is renamed to path.1, an older path.1 to
// path.2, and so on, as far as [Keep] allows. So a program that is restarted after a crash
// does not overwrite the recording of the crash. Two processes must not record to the same
// path at the same time: each would rename the file of the other. A path that is no
// regular file (a pipe, a terminal) is neither renamed nor rotated.
//
// Create returns an error if the existing file cannot be renamed or path cannot be opened.
// A full disk is not an error of Create: lines that cannot be written are lost, as later
// ones would be. Create panics if an option is nil.
func Create(path string, opts ...Option) (*Recorder, error) {
	s := settingsOf(opts)
	full, err := filepath.Abs(path) // the program may change its working directory
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	out := output{path: full}
	if err := out.renameExisting(s.keep); err != nil {
		return nil, fmt.Errorf("record: the recording that is there cannot be moved aside: %w", err)
	}
	file, err := os.Create(full)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		out.file = file
		if s.maxSize > 0 || s.maxAge > 0 {
			out.segment = 1
		}
	} else {
		out = output{w: file, closeWriter: file.Close}
	}
	return start(s, out), nil
}

// New returns a recorder that writes to w. It does not close w.
//
// Calls of w.Write do not overlap, and each has one or more whole lines. They are made by
// a goroutine of the recorder, or with [Durable] by the goroutines of the program. If Write
// blocks, the program is not delayed, except with Durable and as the package documentation
// says. If Write fails, it is called again with later lines.
//
// New panics if w or an option is nil, and for the options that need a file: [MaxSize],
// [MaxAge] and [Keep].
func New(w io.Writer, opts ...Option) *Recorder {
	if w == nil {
		panic("record: New: the writer is nil")
	}
	s := settingsOf(opts)
	if s.needsFile {
		panic("record: New: MaxSize, MaxAge and Keep need a file that can be renamed: use Create")
	}
	return start(s, output{w: w})
}

func start(s settings, out output) *Recorder {
	r := &Recorder{
		settings: s, t0: time.Now(), run: newRun(), out: out, alive: newAlive(),
		wake: make(chan struct{}, 1), finished: make(chan struct{}), outMu: make(chanMutex, 1),
	}
	r.out.header = headerOf(r.t0, r.run, s.by)
	r.out.created = r.t0
	r.updateRoomLocked()
	recorders.add(r)
	if s.durable || out.file != nil {
		r.prepareOutput() // a file with a first line is a recording, which the next Create does not overwrite
	}
	r.startPulse()
	if !s.durable {
		r.buf, r.spare = make([]byte, 0, s.half), make([]byte, 0, s.half)
		r.startWatchdog(&r.mu)
		go r.runWriter()
	}
	if r.onQuit && !r.inBubble {
		r.watchQuit()
	}
	return r
}

// Observe writes an event to the log: see [traigo.Observer]. It may return before the line
// has been written: see the package documentation and [Durable]. After [Recorder.Close] it
// does nothing.
func (r *Recorder) Observe(e traigo.Event) {
	var d details
	if r.sites != nil && (e.Kind == traigo.TaskSpawned || e.Kind == traigo.ScopeOpened) {
		d.site = r.sites.caller()
	}
	switch {
	case e.Kind <= traigo.ScopeClosed || e.Err != nil:
		r.describe(e, &d)
	case e.Kind == traigo.TaskEnded:
		d.state = "ok"
	}
	var scratch [256]byte
	t := r.since(e.Time)
	line := appendEvent(scratch[:0], t, e, &d)
	switch {
	case len(line) == 0: // an event of a later version of traigo
	case r.durable:
		r.writeDurable(line, t, e, &d)
	default:
		r.enqueue(line, t, e, &d)
	}
}

// Close writes the remaining lines and a last line that marks the log as complete, and
// closes the file opened by [Create]. Scopes that are still open stay unfinished in the
// log; their later events are ignored. A second call returns the same error as the first.
//
// If lines are missing from the log, the error says how many and wraps the first cause
// (syscall.ENOSPC, os.ErrClosed …). If the writer has accepted nothing for 10 s, Close
// returns an error that wraps os.ErrDeadlineExceeded, while the write may still be blocked.
func (r *Recorder) Close() error {
	r.mu.Lock()
	first := !r.closing
	r.closing, r.flushNow = true, true
	r.mu.Unlock()
	recorders.remove(r)
	switch {
	case !r.durable:
		r.wakeWriter()
	case first:
		go r.finishDurable()
	}
	return r.awaitFinish()
}

// isRoot reports whether s is observed and has no ancestor that is.
func (r *Recorder) isRoot(s *traigo.Scope) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alive.scopes[s].root
}

// now returns the time in the log of a line that belongs to no event.
func (r *Recorder) now() int64 { return max(0, int64(time.Since(r.t0))) }

// since returns a time as nanoseconds since the start of the log.
func (r *Recorder) since(at time.Time) int64 { return max(0, int64(at.Sub(r.t0))) }
