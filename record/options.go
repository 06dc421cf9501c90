package record

import (
	"fmt"
	"time"
)

// An Option changes how a [Recorder] writes.
type Option func(*settings)

type settings struct {
	durable bool
	half    int // of the memory: lines are gathered in one half while the other is written

	files   bool // an option was given that needs some
	maxSize int64
	maxAge  time.Duration
	keep    int
}

const (
	defaultBuffer = 1 << 20
	maxBuffer     = 1 << 30
	defaultKeep   = 4
)

func settingsOf(opts []Option) settings {
	s := settings{half: defaultBuffer / 2, keep: defaultKeep}
	for _, o := range opts {
		if o == nil {
			panic("record: an Option is nil")
		}
		o(&s)
	}
	return s
}

// Durable hands each event to the operating system before [Recorder.Observe] returns:
// not even SIGKILL loses one. The program waits for each write: about 2 µs on a local
// file, however long it takes on a slow one. It is no fsync: a power failure may lose
// what the operating system has not yet put on disk.
//
// The recorder then has no goroutine. A writer given to [New] must not use scopes that
// the recorder observes: it would wait for itself.
func Durable() Option { return func(s *settings) { s.durable = true } }

// Buffer bounds the memory for lines that are not yet written, in bytes; the default is
// 1 MiB. What finds no room is lost, and counted: the program never waits for it. While
// it is written what is alive, after a loss or as a file begins, there may be 64 bytes
// more for each scope and task that is. It panics if bytes is not positive, or more than
// 1 GiB.
func Buffer(bytes int) Option {
	if bytes <= 0 || bytes > maxBuffer {
		panic(fmt.Sprintf("record: Buffer(%d): from 1 to %d bytes", bytes, maxBuffer))
	}
	return func(s *settings) { s.half = (bytes + 1) / 2 }
}

// MaxSize begins a new file before the log is larger than so many bytes: the file that
// was path becomes path.1, that one path.2, and so on (see [Keep]). Each can be read
// alone, for it begins with what was alive; all of them, one after the other from the
// oldest, read as one log.
//
// A file gets larger where what is alive as it begins takes more than half of it, or where
// very much is alive and the writer comes late. It panics if bytes is not positive.
func MaxSize(bytes int64) Option {
	if bytes <= 0 {
		panic(fmt.Sprintf("record: MaxSize(%d): the number of bytes must be positive", bytes))
	}
	return func(s *settings) { s.maxSize, s.files = bytes, true }
}

// MaxAge begins a new file, as [MaxSize] does, with the first event that comes when the
// last file was begun d ago. It panics if d is not positive.
func MaxAge(d time.Duration) Option {
	if d <= 0 {
		panic(fmt.Sprintf("record: MaxAge(%v): the duration must be positive", d))
	}
	return func(s *settings) { s.maxAge, s.files = d, true }
}

// Keep says how many old files [Create], [MaxSize] and [MaxAge] leave: path.1 is the newest
// of them, path.n the oldest. The default is 4; 0 keeps none. It panics if n is negative.
func Keep(n int) Option {
	if n < 0 {
		panic(fmt.Sprintf("record: Keep(%d): the number of files must not be negative", n))
	}
	return func(s *settings) { s.keep, s.files = n, true }
}
