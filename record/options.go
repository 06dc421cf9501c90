package record

import (
	"fmt"
	"time"
)

// An Option configures a [Recorder].
type Option func(*settings)

type settings struct {
	durable bool
	half    int // size of each of the two buffers: one is filled while the other is written

	needsFile bool // an option was given that works only with Create
	maxSize   int64
	maxAge    time.Duration
	keep      int

	standstill time.Duration // after which a census of stacks is taken; 0 for never
	onQuit     bool
	sites      *sites // nil if they are not asked for

	by *Starter // of this process; nil if it is not known
}

const (
	defaultBuffer = 1 << 20
	maxBuffer     = 1 << 30
	defaultKeep   = 4
	defaultCensus = 10 * time.Second
)

func settingsOf(opts []Option) settings {
	s := settings{half: defaultBuffer / 2, keep: defaultKeep, standstill: defaultCensus}
	for _, o := range opts {
		if o == nil {
			panic("record: an Option is nil")
		}
		o(&s)
	}
	return s
}

// Durable makes [Recorder.Observe] pass each event to the operating system before it
// returns, so that not even SIGKILL loses one. The program waits for each write: about
// 2 µs for a local file, and as long as it takes for a slow one. It does not call fsync: a
// power failure can lose what the operating system has not put on disk yet.
//
// A writer given to [New] is called by the goroutines of the program, from within Observe,
// and for a heartbeat or a census of stacks by one of the recorder. It must not use scopes that the recorder observes,
// which would deadlock, nor call runtime.Goexit, which no observer may.
func Durable() Option { return func(s *settings) { s.durable = true } }

// Buffer sets the number of bytes of memory for lines that are not written yet; the default
// is 1 MiB. The program never waits for space in it: a line that does not fit is lost and
// counted. While the list of scopes and tasks that are alive is being written (after a
// loss, and at the beginning of a file), the buffer may grow by 64 bytes for each of them.
//
// Buffer panics if bytes is not positive or exceeds 1 GiB.
func Buffer(bytes int) Option {
	if bytes <= 0 || bytes > maxBuffer {
		panic(fmt.Sprintf("record: Buffer(%d): from 1 to %d bytes", bytes, maxBuffer))
	}
	return func(s *settings) { s.half = (bytes + 1) / 2 }
}

// MaxSize makes the recorder begin a new file before the current one exceeds the given
// number of bytes. The file at path is renamed to path.1, path.1 to path.2, and so on; see
// [Keep]. Each file can be read alone, since it begins with the list of scopes and tasks
// that were alive. All files, concatenated from the oldest to the newest, read as one log.
//
// A file exceeds the size if that list takes more than half of it, if a census of stacks is
// larger (see [Census]), or if so many scopes
// and tasks are alive that the recorder cannot afford the memory to begin several files
// before the first is written.
//
// MaxSize panics if bytes is not positive. It works only with [Create]; [New] panics.
func MaxSize(bytes int64) Option {
	if bytes <= 0 {
		panic(fmt.Sprintf("record: MaxSize(%d): the number of bytes must be positive", bytes))
	}
	return func(s *settings) { s.maxSize, s.needsFile = bytes, true }
}

// MaxAge makes the recorder begin a new file, as [MaxSize] does, at the first event that is
// written d or longer after the current file was begun. Heartbeats alone do not begin one.
//
// MaxAge panics if d is not positive. It works only with [Create]; [New] panics.
func MaxAge(d time.Duration) Option {
	if d <= 0 {
		panic(fmt.Sprintf("record: MaxAge(%v): the duration must be positive", d))
	}
	return func(s *settings) { s.maxAge, s.needsFile = d, true }
}

// Keep sets how many old files [Create], [MaxSize] and [MaxAge] keep: path.1, the newest of
// them, to path.n, the oldest. The default is 4; with 0 none is kept.
//
// Keep panics if n is negative. It works only with [Create]; [New] panics.
func Keep(n int) Option {
	if n < 0 {
		panic(fmt.Sprintf("record: Keep(%d): the number of files must not be negative", n))
	}
	return func(s *settings) { s.keep, s.needsFile = n, true }
}

// Census sets how long nothing has to move, while a task or the body of a Run is alive, until
// the recorder writes a census of stacks: what they wait for, since when, and where. The
// default is 10 s; with 0 none is written. Nothing moves while there is no event.
//
// For a census of stacks the recorder stops the program, for 4 to 40 ms per 1,000 goroutines: it depends
// on how deep the stacks are. Above 10,000 goroutines it hardly stops the program, but does
// not know whose stack is which: then no task is named, and those of scopes that are not
// recorded count as well. Of equal stacks one is written, and of all the 100 that are the
// most frequent.
//
// If nothing moves, the recorder looks again after 10 and 100 times d, and writes what it sees
// if that has changed. When something has moved and then nothing for d, it begins anew.
//
// Census panics if d is negative.
func Census(d time.Duration) Option {
	if d < 0 {
		panic(fmt.Sprintf("record: Census(%v): the duration must not be negative", d))
	}
	return func(s *settings) { s.standstill = d }
}

// OnQuit makes the recorder write a census of stacks (see [Census]) and all lines it has when
// the process receives SIGQUIT for the first time, which Ctrl-\ sends. Then it sends the signal
// again, which has its usual effect: Go prints all stacks and exits with status 2.
//
// If the program handles the signal as well, by os/signal, the process goes on. With n recorders
// it receives the first SIGQUIT up to n + 1 times, and later ones once: these make no census.
//
// OnQuit has no effect if the program ignores SIGQUIT, by [os/signal.Ignore], when the recorder is
// created, nor on systems other than Unix, nor in a synctest bubble. That the process was started
// to ignore SIGQUIT makes no difference: Go does not respect it.
func OnQuit() Option { return func(s *settings) { s.onQuit = true } }
