package record

import (
	"math"
	"os"
	"strconv"
	"time"
)

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
