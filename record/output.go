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

// An output is what the lines are written to: a regular file that we have created, in
// which written bytes can be overwritten, or any other writer. If a line has been written
// in part, it is completed before anything else is written, or truncated from the file. All
// of it is guarded by outMu.
type output struct {
	w           io.Writer // nil for a regular file
	closeWriter func() error
	torn        torn // the line that w has taken only in part

	file      *os.File // nil between two files of a rotation
	path      string
	at        int64 // the offset of the next line
	baseSize  int64 // the size with the header and the first census
	noticeAt  int64 // the offset of the line with the number of lost lines, while that number may still change; 0 for none
	beatAt    int64 // the offset of the last line, if that is a heartbeat; otherwise 0
	retrySize int64 // renaming files has failed: it is tried again at this size
	segment   uint64
	created   time.Time

	header    func(segment uint64) []byte
	hasHeader bool
	lastErr   error // of the last write that failed
}

type torn struct {
	rest    []byte // what is still to be written
	isEvent bool
}

func (o *output) isTorn() bool { return len(o.torn.rest) > 0 }

// writeLines writes whole lines, of events or about the log itself, and returns how many
// of them are lost. A torn line is not lost: it will be completed by the first write that
// succeeds.
func (o *output) writeLines(lines []byte, events bool) (missing uint64, err error) {
	if len(lines) == 0 {
		return 0, nil
	}
	if o.w == nil {
		return o.writeLinesToFile(lines)
	}
	if !o.completeTorn() {
		return countLines(lines), o.lastErr
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

func (o *output) completeTorn() bool {
	if !o.isTorn() {
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

// write calls w.Write once. w is foreign code: it may panic, and it may return any n.
func (o *output) write(p []byte) (n int, err error) {
	defer func() {
		if value := recover(); value != nil {
			n, err = 0, fmt.Errorf("the writer panicked: %v", value)
		}
		if err != nil {
			o.lastErr = err
		}
	}()
	n, err = o.w.Write(p)
	n = min(max(n, 0), len(p))
	switch {
	case n < len(p) && err == nil:
		err = io.ErrShortWrite
	case n == len(p):
		err = nil // all is written, whatever the error says
	}
	return n, err
}

func (o *output) writeLinesToFile(lines []byte) (missing uint64, err error) {
	o.beatAt = 0
	n, err := o.writeAt(lines, o.at)
	if err == nil {
		o.at += int64(len(lines))
		return 0, nil
	}
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	o.truncate(o.at + int64(whole))
	return countLines(lines[whole:]), err
}

func (o *output) writeAt(p []byte, at int64) (n int, err error) {
	if o.file == nil {
		return 0, o.lastErr
	}
	n, err = o.file.WriteAt(p, at)
	if err != nil {
		o.lastErr = err
	}
	return n, err
}

func (o *output) truncate(at int64) {
	if o.file != nil {
		o.at, o.beatAt = at, 0
		_ = o.file.Truncate(at)
	}
}

// writeBeat writes a heartbeat. In a regular file it replaces the one that is the last line:
// a file does not grow while nothing happens.
func (o *output) writeBeat(line []byte) {
	switch {
	case len(line) == 0:
	case o.w != nil:
		_, _ = o.writeLines(line, false)
	default:
		at := o.at
		if o.beatAt > 0 {
			at = o.beatAt
		}
		if _, err := o.writeAt(line, at); err != nil {
			o.truncate(at)
			return
		}
		o.at, o.beatAt = at+int64(len(line)), at
	}
}

// writeHeader writes the first line of a file, if that has not been done. It creates the
// file if the last rotation could not.
func (o *output) writeHeader() bool {
	if o.hasHeader {
		return true
	}
	if o.w == nil && o.file == nil {
		file, err := os.Create(o.path)
		if err != nil {
			o.lastErr = err
			return false
		}
		o.file, o.at = file, 0
	}
	_, err := o.writeLines(o.header(o.segment), false)
	o.hasHeader = err == nil || o.isTorn()
	o.baseSize = o.at
	return err == nil
}

// hasRoom reports whether a file that was full can be written again. A trial write costs
// less than a census of all that is alive, which would follow.
func (o *output) hasRoom() bool {
	if o.w != nil {
		return true
	}
	_, err := o.writeAt(bytes.Repeat([]byte{' '}, 256), o.at)
	o.truncate(o.at)
	return err == nil
}

func (o *output) close() error {
	switch {
	case o.file != nil:
		return o.file.Close()
	case o.closeWriter != nil:
		return o.closeWriter()
	default:
		return nil
	}
}

// name returns what errors call the output.
func (o *output) name() string {
	if o.path != "" {
		return o.path
	}
	if file, ok := o.w.(*os.File); ok {
		return file.Name()
	}
	return fmt.Sprintf("a %T", o.w)
}

// A full disk has no room for the line that says how many lines are lost. In a regular
// file, written lines at its end are overwritten by that line, and count as lost.

// overwritten counts lines that have been overwritten.
type overwritten struct {
	events   uint64
	reported uint64 // lost lines of which an overwritten line had told
}

func (c overwritten) lines() uint64 { return c.events + c.reported }

var errNothingToOverwrite = errors.New("nothing is left that could be overwritten")

// replaceTail writes text(n) at the end of the file, in place of the text that the last
// call wrote if nothing has been written after it. If there is no room, it overwrites
// lines before that place, and calls text with n increased by the lines lost thereby.
//
// The file is truncated after the text has been written, not before: blocks that are
// given back may be taken by another process at once.
func (o *output) replaceTail(n uint64, text func(n uint64) []byte) (gone overwritten, err error) {
	from := o.at
	if o.noticeAt > 0 {
		from = o.noticeAt
	}
	for {
		tail := text(n + gone.lines())
		if _, err = o.writeAt(tail, from); err == nil {
			o.noticeAt = from
			o.truncate(from + int64(len(tail)))
			return gone, nil
		}
		for room := 0; room < len(tail); {
			line, lineErr := o.lastLineBefore(from)
			if lineErr != nil {
				o.truncate(from)
				o.noticeAt = 0
				return gone, err
			}
			gone.add(line)
			room += len(line)
			from -= int64(len(line))
		}
	}
}

// keepNotice makes the line with the number of lost lines permanent, as other lines have
// been written after it.
func (o *output) keepNotice() { o.noticeAt = 0 }

// lastLineBefore returns the line of the file that ends at an offset. It is an error if
// that is the first line.
func (o *output) lastLineBefore(at int64) ([]byte, error) {
	if o.file == nil {
		return nil, errNothingToOverwrite
	}
	const usual, maxLine = 1 << 16, 1 << 20 // a line with all members of a census is the longest
	for size := int64(usual); size <= maxLine; size *= 4 {
		chunk := make([]byte, min(at, size))
		if _, err := o.file.ReadAt(chunk, at-int64(len(chunk))); err != nil {
			return nil, err
		}
		if i := bytes.LastIndexByte(chunk[:max(0, len(chunk)-1)], '\n'); i >= 0 {
			return chunk[i+1:], nil
		}
	}
	return nil, errNothingToOverwrite
}

// add counts a line. A line of a census is no event; a line that reports lost lines stands
// for as many as it reports.
func (c *overwritten) add(text []byte) {
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
		c.reported += n
	case isNote[line.K], line.St != "" && line.K != "end":
	default:
		c.events++
	}
}

// isNote has the kinds of lines that tell of no event.
var isNote = map[string]bool{"live": true, "bye": true, "beat": true, "stacks": true, "group": true}

// Rotation. Where a file ends is decided when a line is enqueued that does not fit, or,
// for its age, when a flush takes the buffer. At that moment it is known what is alive at
// that place of the log, and the next file can begin with it.

// A split is a position in the buffer at which the next file begins.
type split struct {
	pos   int
	at    int64
	alive alive
}

// rotation is the part of a recorder that decides where files end, guarded by mu.
type rotation struct {
	room   int64 // bytes that fit into the file beyond those in the buffer
	splits []split
	held   int // scopes and tasks in splits
}

// reserveLocked takes the room for a line, which may mean to begin the next file.
func (r *Recorder) reserveLocked(line int, at int64) {
	if r.maxSize == 0 || r.room == math.MaxInt64 {
		return
	}
	if int64(line) > r.room {
		r.splitLocked(len(r.buf), at)
	}
	r.room -= int64(line)
}

// splitLocked begins the next file at a position, unless the splits that no flush has
// taken already hold too many scopes and tasks: then the file becomes larger than asked for.
func (r *Recorder) splitLocked(pos int, at int64) {
	const maxHeld = 1 << 16
	n := len(r.alive.scopes) + len(r.alive.tasks)
	if len(r.splits) > 0 && r.held+n > maxHeld {
		return
	}
	r.held += n
	r.splits = append(r.splits, split{pos, max(at, r.alive.latest+1), r.alive.clone()})
	const perLine = 100 // bytes of a line of a census, roughly, and of a header
	base := int64(3+n) * perLine
	r.room = max(r.maxSize, 2*base) - base
}

// updateRoomLocked replaces the estimate of the room by what is known after a flush. A file
// may always become twice as large as its header and first census: if very much is alive,
// files would have nothing else in them.
func (r *Recorder) updateRoomLocked() {
	o := &r.out
	switch {
	case r.maxSize == 0 || len(r.splits) > 0:
	case o.w != nil:
		r.room = math.MaxInt64
	default:
		r.room = max(r.maxSize, 2*o.baseSize, o.retrySize) - o.at - int64(len(r.buf))
	}
}

// isOverAge reports whether the file has reached its age, and with more bytes will have
// events in it.
func (r *Recorder) isOverAge(more int, now int64) bool {
	o := &r.out
	return r.maxAge > 0 && o.file != nil && now-r.since(o.created) >= int64(r.maxAge) && o.at+int64(more) > max(o.baseSize, o.retrySize)
}

// writeSegments writes the lines of a batch, and begins a new file at each split.
func (r *Recorder) writeSegments(b batch) (missing uint64, err error) {
	from := 0
	for _, next := range b.splits {
		if missing, err = r.out.writeLines(b.lines[from:next.pos], true); err != nil {
			return missing + countLines(b.lines[next.pos:]), err
		}
		from = next.pos
		if !r.rotate(next) {
			return countLines(b.lines[from:]), r.out.lastErr
		}
	}
	return r.out.writeLines(b.lines[from:], true)
}

// rotate begins the next file with a census. If old files cannot be renamed, the log
// goes on in the current file.
func (r *Recorder) rotate(to split) bool {
	o := &r.out
	if o.closeAndRename(r.keep) != nil {
		o.retrySize = 2 * o.at
		return true
	}
	o.hasHeader, o.at, o.noticeAt, o.retrySize = false, 0, 0, 0
	o.created = r.t0.Add(time.Duration(to.at))
	o.segment++
	r.loss.censusDue = !to.alive.isEmpty()
	if !r.prepareOutput() || r.loss.censusDue && !r.writeCensus(to.alive, to.at) {
		return false
	}
	o.baseSize = o.at
	return true
}

// closeAndRename closes the file and renames it, so that a new one can be created at path.
// It is closed first because some systems do not rename open files; its lines have been
// passed to the operating system. If renaming fails, the file is opened again.
func (o *output) closeAndRename(keep int) error {
	_ = o.file.Close()
	o.file = nil
	err := o.renameAll(keep)
	if err == nil {
		return nil
	}
	file, openErr := os.OpenFile(o.path, os.O_RDWR, 0)
	if openErr != nil {
		return nil //nolint:nilerr // the file was removed by someone else: a new one can be created
	}
	o.file = file
	return err
}

// renameExisting renames a recording that is at path. An empty file is not a recording.
func (o *output) renameExisting(keep int) error {
	info, err := os.Lstat(o.path)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil //nolint:nilerr // creating the file will return the error
	}
	return o.renameAll(keep)
}

// renameAll renames each file to the next older name.
func (o *output) renameAll(keep int) error {
	for i := o.backups(keep); i > 0; i-- {
		if err := os.Rename(o.backup(i-1), o.backup(i)); err != nil {
			return err
		}
	}
	return nil
}

// backups returns how many old files there will be after renaming, at most keep. It looks
// for the first free name: keep may be very large.
func (o *output) backups(keep int) (n int) {
	for n < keep {
		n++
		if _, err := os.Lstat(o.backup(n)); err != nil {
			break // in general, because it does not exist
		}
	}
	return n
}

// backup returns the name of an old file: 1 is the newest, 0 the current file.
func (o *output) backup(i int) string {
	if i == 0 {
		return o.path
	}
	return o.path + "." + strconv.Itoa(i)
}
