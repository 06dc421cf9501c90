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

// A Recorder is a [traigo.Observer] that writes what it sees. It may observe any number
// of scopes, also beside other recorders. Its methods may be called from any goroutine.
// A scope below one that it observes needs it not again: what it is shown twice it writes
// twice.
//
// An event goes through three hands. Observe makes a line of it, outside of any lock,
// notes under mu who is alive, and appends the line to a buffer. A round, which holds the
// pen, takes what has gathered in the buffer, and gives it to the output; it settles
// losses and changes files. Rounds are held by a goroutine of the recorder, or, where
// every event has to be safe at once, by whoever observes.
type Recorder struct {
	settings
	t0   time.Time // all times count from here
	wake chan struct{}
	// finished is closed when the log is. err is Close's, written before that.
	finished chan struct{}
	err      error

	// mu is a leaf: while it is held nothing foreign is called and nothing waits.
	mu       sync.Mutex
	buf      []byte // lines to be written
	spare    []byte // the other half of the memory, while nobody writes it
	extra    int    // bytes that buf may have beyond its half
	dropping bool   // buf is full; what comes is dropped until a round has taken it
	dropped  uint64 // lines, after those in buf
	hurry    bool   // the writer need not wait for more
	closing  bool   // events are ignored
	alive    alive
	waiting
	files

	// pen is held by whoever writes. It is taken before mu.
	pen    pen
	out    output
	loss   loss
	warned bool
}

// Create begins a log in a new file. A recording that is there is kept: as path.1, and one
// that was path.1 as path.2, as far as [Keep] counts; so a program that is started again
// after a crash does not take away what was recorded of it. (Two processes that write
// to the same path at the same time move each other's files: give each its own.) The
// error is that of opening the file, or of moving the other. If the disk is full that is a
// loss like one that comes later.
//
// What is no regular file (a pipe, a terminal) is neither moved nor rotated.
func Create(path string, opts ...Option) (*Recorder, error) {
	s := settingsOf(opts)
	full, err := filepath.Abs(path) // the program may change its directory
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	out := output{path: full}
	if err := out.moveAside(s.keep); err != nil {
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
		out = output{w: file, close: file.Close}
	}
	return start(s, out), nil
}

// New writes a log to w, which it does not close. Writes come one after the other, each
// of one or more whole lines, from a goroutine of the recorder; with [Durable] from those
// of the program. A w that blocks delays nothing else (but see Durable), and one that
// fails is tried again with the next lines. It panics if w is nil, and for options that
// need a file: [MaxSize], [MaxAge] and [Keep].
func New(w io.Writer, opts ...Option) *Recorder {
	if w == nil {
		panic("record: New: the writer is nil")
	}
	s := settingsOf(opts)
	if s.files {
		panic("record: New: MaxSize, MaxAge and Keep need a file that can be renamed: use Create")
	}
	return start(s, output{w: w})
}

func start(s settings, out output) *Recorder {
	r := &Recorder{
		settings: s, t0: time.Now(), out: out, alive: newAlive(),
		wake: make(chan struct{}, 1), finished: make(chan struct{}), pen: make(pen, 1),
	}
	r.out.head = headerAt(r.t0)
	r.out.began = r.t0
	r.measureLocked()
	if s.durable || out.file != nil {
		r.ready() // a file has its first line at once: it is a recording, and not to be written over
	}
	if s.durable {
		return r
	}
	r.buf, r.spare = make([]byte, 0, s.half), make([]byte, 0, s.half)
	r.start(&r.mu)
	go r.write()
	return r
}

// Observe takes an event in: see [traigo.Observer]. After [Recorder.Close] it does
// nothing.
func (r *Recorder) Observe(e traigo.Event) {
	var d details
	noted := false
	defer func() {
		if !noted { // the text of an error has called runtime.Goexit
			r.note(e, &d)
		}
	}()
	switch {
	case e.Kind <= traigo.ScopeClosed || e.Err != nil:
		r.detail(e, &d)
	case e.Kind == traigo.TaskEnded:
		d.state = "ok"
	}
	noted = true
	r.note(e, &d)
}

// note makes a line of an event.
func (r *Recorder) note(e traigo.Event, d *details) {
	var scratch [256]byte
	t := r.since(e.Time)
	line := appendEvent(scratch[:0], t, e, d)
	switch {
	case len(line) == 0: // of a later version of traigo
	case r.durable:
		r.writeNow(line, t, e, d)
	default:
		r.gather(line, t, e, d)
	}
}

// Close writes what is left, and a last line that says that the log is whole; it closes
// the file of [Create]. Scopes that are still open are unfinished in the log. Events that
// come later are ignored. A second Close returns what the first did.
//
// The error says how many lines are missing from the log and why; errors.Is finds the
// cause in it (syscall.ENOSPC, os.ErrClosed …). If a writer has taken nothing for 10 s,
// Close stops waiting for it: the error is os.ErrDeadlineExceeded.
func (r *Recorder) Close() error {
	r.mu.Lock()
	first := !r.closing
	r.closing, r.hurry = true, true
	r.mu.Unlock()
	switch {
	case !r.durable:
		r.nudge()
	case first:
		go r.finishNow()
	}
	return r.awaitWriter()
}

// isRoot reports whether s has no ancestor that this recorder observes.
func (r *Recorder) isRoot(s *traigo.Scope) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alive.scopes[s].root
}

// now is the time for a line that is not an event's.
func (r *Recorder) now() int64 { return max(0, int64(time.Since(r.t0))) }

// since is how long after the start of the log that was, in nanoseconds.
func (r *Recorder) since(at time.Time) int64 { return max(0, int64(at.Sub(r.t0))) }
