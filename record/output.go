package record

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"
)

// An output is where the lines go: a regular file of our own, in which we can go back, or
// a writer. It keeps to whole lines: one that has been written in part is completed
// before anything else, or taken back. Guarded by the pen.
type output struct {
	w     io.Writer // nil for a regular file
	close func() error
	torn  torn // of w

	file    *os.File // nil between two segments
	path    string
	at      int64 // where the next line goes
	base    int64 // how far the first line and the first census go
	notice  int64 // where the line begins that says what is missing, while that may change; 0 for none
	enough  int64 // files could not be renamed: not before it is so large
	segment uint64
	began   time.Time

	head    func(segment uint64) []byte
	begun   bool
	failure error // of the last write that failed
}

// torn is the line of which the writer took only the beginning.
type torn struct {
	rest    []byte
	isEvent bool
}

// put writes whole lines, of events or about the log itself, and returns how many were
// not written. One that is torn is going to be, if anything is.
func (o *output) put(lines []byte, events bool) (missing uint64, err error) {
	if len(lines) == 0 {
		return 0, nil
	}
	if o.w == nil {
		return o.putFile(lines)
	}
	if !o.mend() {
		return countLines(lines), o.failure
	}
	n, err := o.write(lines)
	if err == nil {
		return 0, nil
	}
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	if n > whole {
		whole = n + bytes.IndexByte(lines[n:], '\n') + 1
		o.torn = torn{bytes.Clone(lines[n:whole]), events}
	}
	return countLines(lines[whole:]), err
}

// mend completes the line that is torn.
func (o *output) mend() bool {
	if len(o.torn.rest) == 0 {
		return true
	}
	n, err := o.write(o.torn.rest)
	o.torn.rest = o.torn.rest[n:]
	if err != nil {
		return false
	}
	o.torn = torn{}
	return true
}

// write is one Write of a writer that may be anybody's.
func (o *output) write(p []byte) (n int, err error) {
	defer func() {
		if value := recover(); value != nil {
			n, err = 0, fmt.Errorf("the writer panicked: %v", value)
		}
		if err != nil {
			o.failure = err
		}
	}()
	n, err = o.w.Write(p)
	n = min(max(n, 0), len(p))
	switch {
	case n < len(p) && err == nil:
		err = io.ErrShortWrite
	case n == len(p):
		err = nil // whatever it says
	}
	return n, err
}

func (o *output) putFile(lines []byte) (missing uint64, err error) {
	n, err := o.writeAt(lines, o.at)
	if err == nil {
		o.at += int64(len(lines))
		return 0, nil
	}
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	o.rewind(o.at + int64(whole))
	return countLines(lines[whole:]), err
}

func (o *output) writeAt(p []byte, at int64) (n int, err error) {
	if o.file == nil {
		return 0, o.failure
	}
	n, err = o.file.WriteAt(p, at)
	if err != nil {
		o.failure = err
	}
	return n, err
}

// rewind takes back what was written behind at.
func (o *output) rewind(at int64) {
	if o.file != nil {
		o.at = at
		_ = o.file.Truncate(at)
	}
}

// begin writes the first line of a file.
func (o *output) begin() bool {
	if o.begun {
		return true
	}
	if o.w == nil && o.file == nil {
		file, err := os.Create(o.path)
		if err != nil {
			o.failure = err
			return false
		}
		o.file, o.at = file, 0
	}
	_, err := o.put(o.head(o.segment), false)
	o.begun = err == nil || len(o.torn.rest) > 0
	o.base = o.at
	return err == nil
}

// hasRoom tries whether lines can be written to a file that was full: without going
// through all that is alive.
func (o *output) hasRoom() bool {
	if o.w != nil {
		return true
	}
	_, err := o.writeAt(bytes.Repeat([]byte{' '}, 256), o.at)
	o.rewind(o.at)
	return err == nil
}

// end closes the file.
func (o *output) end() error {
	switch {
	case o.file != nil:
		return o.file.Close()
	case o.close != nil:
		return o.close()
	default:
		return nil
	}
}

func (o *output) name() string {
	if o.path != "" {
		return o.path
	}
	if file, ok := o.w.(*os.File); ok {
		return file.Name()
	}
	return fmt.Sprintf("a %T", o.w)
}
