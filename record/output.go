package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
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

// On a disk that is full there is no room to say that it is. In a file of our own lines
// that are already there give way: they count as missing, and the line that says how many
// comes in their place.

// A cut is what has given way: events, and lines that had told of others.
type cut struct{ events, told uint64 }

func (c cut) lines() uint64 { return c.events + c.told }

var errNothingToCut = errors.New("nothing is left that could give way")

// replaceEnd writes text(n) at the end of the file, in place of what was written there
// the last time, if nothing has come behind it. Where there is no room for it, it takes
// that of lines before it; n is then larger by what those stood for.
//
// The text is written over what is there before the file is cut: blocks that were given
// back might be somebody else's by then.
func (o *output) replaceEnd(n uint64, text func(n uint64) []byte) (gone cut, err error) {
	from := o.at
	if o.notice > 0 {
		from = o.notice
	}
	for {
		tail := text(n + gone.lines())
		if _, err = o.writeAt(tail, from); err == nil {
			o.notice = from
			o.rewind(from + int64(len(tail)))
			return gone, nil
		}
		for room := 0; room < len(tail); {
			line, cutErr := o.lineBefore(from)
			if cutErr != nil {
				o.rewind(from)
				o.notice = 0
				return gone, err
			}
			gone.add(line)
			room += len(line)
			from -= int64(len(line))
		}
	}
}

// noticeIsFinal is called when something has come behind the line that says what is
// missing.
func (o *output) noticeIsFinal() { o.notice = 0 }

// lineBefore is the line of the file that ends at a place; an error for the first.
func (o *output) lineBefore(at int64) ([]byte, error) {
	if o.file == nil {
		return nil, errNothingToCut
	}
	const more = 1 << 16 // than any line has
	chunk := make([]byte, min(at, more))
	if _, err := o.file.ReadAt(chunk, at-int64(len(chunk))); err != nil {
		return nil, err
	}
	i := bytes.LastIndexByte(chunk[:max(0, len(chunk)-1)], '\n')
	if i < 0 {
		return nil, errNothingToCut
	}
	return chunk[i+1:], nil
}

// add counts a line that gives way: one of a census is no event, and one that told of
// missing lines stands for those.
func (c *cut) add(text []byte) {
	var line struct {
		K  string          `json:"k"`
		N  json.RawMessage `json:"n"`
		St string          `json:"st"`
	}
	if json.Unmarshal(text, &line) != nil {
		return
	}
	switch {
	case line.K == "lost":
		var n uint64
		_ = json.Unmarshal(line.N, &n)
		c.told += n
	case line.K == "live" || line.K == "bye", line.St != "" && line.K != "end":
	default:
		c.events++
	}
}

// Files that follow each other. Where one ends is decided as a line is appended that does
// not fit any more, or, by age, when a round takes the buffer: so what is alive there is
// known exactly, and the next file can begin with it.

// A seam is a place in the buffer where the next file begins.
type seam struct {
	pos   int
	at    int64
	alive alive
}

// files is the part of a recorder that is about them, under its mu.
type files struct {
	room int64 // bytes that the file has left, behind those in the buffer
	cuts []seam
	held int // scopes and tasks in them
}

// fitLocked makes a seam if a line does not fit into the file.
func (r *Recorder) fitLocked(line int, at int64) {
	if r.maxSize == 0 || r.room == math.MaxInt64 {
		return
	}
	if int64(line) > r.room {
		r.cutLocked(len(r.buf), at)
	}
	r.room -= int64(line)
}

// cutLocked makes a seam. They hold only so much memory: where a great many would be
// needed before the writer comes, files get larger.
func (r *Recorder) cutLocked(pos int, at int64) {
	const maxHeld = 1 << 16
	n := len(r.alive.scopes) + len(r.alive.tasks)
	if len(r.cuts) > 0 && r.held+n > maxHeld {
		return
	}
	r.held += n
	r.cuts = append(r.cuts, seam{pos, max(at, r.alive.latest+1), r.alive.clone()})
	const each = 100 // bytes for a line of a census, about, and for a first line
	first := int64(3+n) * each
	r.room = max(r.maxSize, 2*first) - first
}

// measureLocked finds out how much room there really is. A file that is not yet twice as
// large as what it began with goes on: with very much alive there would be nothing else
// in any of them.
func (r *Recorder) measureLocked() {
	o := &r.out
	switch {
	case r.maxSize == 0 || len(r.cuts) > 0:
	case o.w != nil:
		r.room = math.MaxInt64
	default:
		r.room = max(r.maxSize, 2*o.base, o.enough) - o.at - int64(len(r.buf))
	}
}

// isOld reports whether the file has come to its age, and has more than it began with.
func (r *Recorder) isOld(more int, now int64) bool {
	o := &r.out
	return r.maxAge > 0 && o.file != nil && now-r.since(o.began) >= int64(r.maxAge) && o.at+int64(more) > max(o.base, o.enough)
}

// putFiles writes the lines of a batch, to as many files as it takes.
func (r *Recorder) putFiles(b batch) (missing uint64, err error) {
	from := 0
	for _, cut := range b.cuts {
		if missing, err = r.out.put(b.lines[from:cut.pos], true); err != nil {
			return missing + countLines(b.lines[cut.pos:]), err
		}
		from = cut.pos
		if !r.rotate(cut) {
			return countLines(b.lines[from:]), r.out.failure
		}
	}
	return r.out.put(b.lines[from:], true)
}

// rotate begins the next file, with what is alive. If old files cannot be renamed the
// log goes on in the one that it has.
func (r *Recorder) rotate(cut seam) bool {
	o := &r.out
	if o.next(r.keep) != nil {
		o.enough = 2 * o.at
		return true
	}
	o.begun, o.at, o.notice, o.enough = false, 0, 0, 0
	o.began = r.t0.Add(time.Duration(cut.at))
	o.segment++
	r.loss.due = !cut.alive.isEmpty()
	if !r.ready() || r.loss.due && !r.census(cut.alive, cut.at) {
		return false
	}
	o.base = o.at
	return true
}

// next makes room for a new file where the old one was.
func (o *output) next(keep int) error {
	_ = o.file.Close() // its lines have been handed over; and where files are open they cannot be renamed everywhere
	o.file = nil
	err := o.shift(keep)
	if err == nil {
		return nil
	}
	file, openErr := os.OpenFile(o.path, os.O_RDWR, 0)
	if openErr != nil {
		return nil //nolint:nilerr // somebody has taken it away: then a new one is all that is left
	}
	o.file = file
	return err
}

// moveAside makes room for a new file where another recording may be. One without a byte
// in it is none.
func (o *output) moveAside(keep int) error {
	info, err := os.Lstat(o.path)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil //nolint:nilerr // what is wrong with it, creating it will tell
	}
	return o.shift(keep)
}

// shift gives each file the name of the one before it.
func (o *output) shift(keep int) error {
	for i := o.keeps(keep); i > 0; i-- {
		if err := os.Rename(o.old(i-1), o.old(i)); err != nil {
			return err
		}
	}
	return nil
}

// keeps is how many old files there are going to be.
func (o *output) keeps(most int) (n int) {
	for n < most {
		n++
		if _, err := os.Lstat(o.old(n)); err != nil {
			break // it is not there, as a rule
		}
	}
	return n
}

// old is the name of the i-th file back.
func (o *output) old(i int) string {
	if i == 0 {
		return o.path
	}
	return o.path + "." + strconv.Itoa(i)
}
