package proc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
)

// What goes over the socket of a worker: frames in both directions. A frame is a kind (1 byte),
// flags (1), the number of the job that it belongs to (4), the length of the rest (4), and the
// rest. Values are encoded by gob, errors and snapshots as JSON.

type frameKind uint8

const (
	// From here to the worker.
	doInit     frameKind = iota // the name of a function, and its argument: the first frame, if there is an Init
	doJob                       // a deadline, the name of a function, and its argument
	doCancel                    // a *RemoteError: the cause
	doSnapshot                  // for how long the answer is waited for
	doLeave

	// From the worker.
	initFailed // a *RemoteError
	item       // an item of a Source, and its error
	answer     // how the job has ended, its result and error
	snapshot   // a list of traigo.Snapshot
)

// The flags of a frame.
const (
	isFresh    = 1 << iota // the value is the first one of a new gob stream
	startFresh             // the sender could not decode a value: the next one is to be in a new stream
	withStacks             // of doSnapshot
)

const (
	headerSize = 10
	maxMessage = 64 << 20
)

type frame struct {
	kind  frameKind
	flags uint8
	job   uint32
	data  []byte
}

// A link is one end of the socket. One goroutine at a time receives.
type link struct {
	conn net.Conn
	in   *bufio.Reader
	data []byte // of the frame that was received last

	writing sync.Mutex // held while a frame is written, which may take as long as a worker is stopped

	// Whether a frame was written after that of the last job: otherwise who has not read all
	// that was written has not read the job. Written with writing held.
	hasMore atomic.Bool

	mu     sync.Mutex
	posted [][]byte // frames that are to be written by whoever holds writing
}

func newLink(conn net.Conn) *link { return &link{conn: conn, in: bufio.NewReaderSize(conn, 32<<10)} }

// receive returns the next frame. Its data is valid until the next call.
func (l *link) receive() (frame, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(l.in, header[:]); err != nil {
		return frame{}, err
	}
	size := binary.LittleEndian.Uint32(header[6:])
	if size > maxMessage+maxPrefix {
		return frame{}, fmt.Errorf("traigo: proc: a frame of %d bytes", size)
	}
	l.data = sized(l.data, int(size))
	if _, err := io.ReadFull(l.in, l.data); err != nil {
		return frame{}, err
	}
	return frame{frameKind(header[0]), header[1], binary.LittleEndian.Uint32(header[2:]), l.data}, nil
}

// maxKeptBuffer is how large a buffer may be that is kept for the next message.
const maxKeptBuffer = 4 << 20

// trim drops a buffer that a large message has left.
func (l *link) trim() {
	if cap(l.data) > maxKeptBuffer {
		l.data = nil
	}
}

// maxPrefix is how much there may be in a frame beside a value. An error has at most 100 texts
// and stacks of 64 KiB each; as JSON they can be six times as long.
const maxPrefix = 96 << 20

func sized(b []byte, n int) []byte {
	if n > cap(b) {
		return make([]byte, n)
	}
	return b[:n]
}

// send writes a frame whose data begins with headerSize bytes that are not used yet. If it
// fails the other end is gone, and has not read all of the frame.
func (l *link) send(kind frameKind, flags uint8, job uint32, data []byte) error {
	putHeader(data, kind, flags, job)
	l.writing.Lock()
	l.hasMore.Store(kind != doJob)
	_, err := l.conn.Write(data)
	l.writing.Unlock()
	l.flush()
	return err
}

// post is send for who must not wait for another goroutine that is writing: that one writes
// the frame.
func (l *link) post(kind frameKind, flags uint8, job uint32, data []byte) {
	putHeader(data, kind, flags, job)
	l.mu.Lock()
	l.posted = append(l.posted, data)
	l.mu.Unlock()
	l.flush()
}

// encodeJSON returns the data of a frame with v.
func encodeJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil || len(text) > maxPrefix {
		text = []byte("null")
	}
	return append(make([]byte, headerSize, headerSize+len(text)), text...)
}

// flush writes the frames that were posted. It looks again after it has released writing:
// who has posted in between has not got it.
func (l *link) flush() {
	for l.hasPosted() && l.writing.TryLock() {
		l.mu.Lock()
		posted := l.posted
		l.posted = nil
		l.mu.Unlock()
		l.hasMore.Store(true)
		for _, data := range posted {
			_, _ = l.conn.Write(data)
		}
		l.writing.Unlock()
	}
}

func (l *link) hasPosted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.posted) > 0
}

func putHeader(data []byte, kind frameKind, flags uint8, job uint32) {
	data[0], data[1] = byte(kind), flags
	binary.LittleEndian.PutUint32(data[2:], job)
	binary.LittleEndian.PutUint32(data[6:], uint32(len(data)-headerSize))
}

// A box is what a value is encoded in: gob refuses some values, such as a nil pointer, unless
// they are fields.
type box[T any] struct{ V T }

// An encoder encodes values in a gob stream.
type encoder struct {
	buf     bytes.Buffer
	gob     *gob.Encoder // nil: a new stream is to be started
	isFresh bool
}

// begin begins a message. The buffer that it returns is to be filled with what comes before a
// value.
func (e *encoder) begin() *bytes.Buffer {
	e.buf.Reset()
	e.buf.Write(make([]byte, headerSize))
	return &e.buf
}

// add adds a value to the message. After an error the message is as before, and the next
// value is in a new stream, since this one may hold half a value.
func (e *encoder) add(v any) (err error) {
	before := e.buf.Len()
	e.isFresh = e.gob == nil
	if e.isFresh {
		e.gob = gob.NewEncoder(&e.buf)
	}
	defer func() {
		if value := recover(); value != nil { // of a method of v
			err = fmt.Errorf("panic: %v", value)
		}
		if err == nil && e.buf.Len()-before > maxMessage {
			err = ErrTooLarge
		}
		if err != nil {
			e.gob, e.isFresh = nil, false
			e.buf.Truncate(before)
		}
	}()
	return e.gob.Encode(v)
}

// trim drops a buffer that a large message has left.
func (e *encoder) trim() {
	if e.buf.Cap() > maxKeptBuffer {
		e.buf = bytes.Buffer{}
	}
}

// flags returns the flags of a frame with the message.
func (e *encoder) flags() uint8 {
	if e.isFresh {
		return isFresh
	}
	return 0
}

// A decoder decodes the values that an encoder at the other end has encoded.
type decoder struct {
	in       bytes.Reader
	gob      *gob.Decoder // nil: the stream is lost, and a new one is to come
	isBroken bool         // the other end has not been told that
}

var errLostStream = errors.New("an earlier value could not be decoded")

func (d *decoder) decode(data []byte, flags uint8, v any) (err error) {
	d.in.Reset(data)
	if flags&isFresh != 0 {
		d.gob = gob.NewDecoder(&d.in)
	}
	if d.gob == nil {
		return errLostStream
	}
	defer func() {
		if value := recover(); value != nil { // of a method of v
			err = fmt.Errorf("panic: %v", value)
		}
		if err != nil {
			d.skip()
		}
	}()
	return d.gob.Decode(v)
}

// skip is called when a value was not decoded: those after it may need what it says of types.
func (d *decoder) skip() { d.gob, d.isBroken = nil, true }

// flags returns the flag that asks for a new stream, once, if one is needed.
func (d *decoder) flags() uint8 {
	if d.isBroken {
		d.isBroken = false
		return startFresh
	}
	return 0
}

// appendText and cutText are how a text is put before a value.
func appendText(buf *bytes.Buffer, text string) {
	buf.Write(binary.AppendUvarint(nil, uint64(len(text))))
	buf.WriteString(text)
}

func cutText(data []byte) (text string, rest []byte, err error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || uint64(len(data)-size) < n {
		return "", nil, io.ErrUnexpectedEOF
	}
	return string(data[size : size+int(n)]), data[size+int(n):], nil
}

// appendTime and cutTime do the same for a deadline; the zero time is none.
func appendTime(buf *bytes.Buffer, t time.Time) {
	var nanos int64
	if !t.IsZero() && t.Before(time.Unix(0, math.MaxInt64)) { // in the year 2262
		nanos = t.UnixNano()
	}
	buf.Write(binary.AppendVarint(nil, nanos))
}

func cutTime(data []byte) (t time.Time, rest []byte, err error) {
	nanos, size := binary.Varint(data)
	if size <= 0 {
		return t, nil, io.ErrUnexpectedEOF
	}
	if nanos != 0 {
		t = time.Unix(0, nanos)
	}
	return t, data[size:], nil
}

// appendError and cutError do the same for an error; nil is an empty text.
func appendError(buf *bytes.Buffer, err *traigo.RemoteError) {
	if err == nil {
		appendText(buf, "")
		return
	}
	text, failed := json.Marshal(err)
	if failed != nil || len(text) > maxPrefix {
		text, _ = json.Marshal(&traigo.RemoteError{Type: err.Type, Msg: err.Msg, Where: err.Where})
	}
	appendText(buf, string(text))
}

func cutError(data []byte) (e *traigo.RemoteError, rest []byte, err error) {
	text, rest, err := cutText(data)
	if err != nil || text == "" {
		return nil, rest, err
	}
	return decodeError([]byte(text)), rest, nil
}

func decodeError(text []byte) *traigo.RemoteError {
	e := new(traigo.RemoteError)
	if err := json.Unmarshal(text, e); err != nil {
		return &traigo.RemoteError{Type: "unknown", Msg: "traigo: proc: an error came that could not be decoded: " + err.Error()}
	}
	return e
}
