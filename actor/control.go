package actor

import (
	"encoding/binary"
	"sync"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/traigo/traigo"
)

// What is said on the control stream: a kind, the number of a call or question (0 if it is
// about neither), and what belongs to it.
type control byte

const (
	// From who asks.
	sayHello    control = iota + 1 // hello
	cancelCall                     // an error, by appendError
	forgetCall                     // it was canceled, and has been answered
	cancelActor                    // cancelRequest
	stopActor                      // Shutdown
	askSnapshot                    // snapshotRequest
	tellPause                      // bool: whether a Pause holds, somewhere in the tree
	answerPause                    // pauseAnswer

	// From who serves.
	sayWelcome     // welcome
	returned       // a response
	acknowledged   // cancelActor, or a signal, was heard
	ended          // ending
	answerSnapshot // snapshotAnswer
	askPause       // pauseRequest
)

// A hello begins a connection.
type hello struct {
	Version int    `json:"version"`
	From    ID     `json:"from"`
	Begin   *begin `json:"begin,omitempty"` // of the parent
}

// A begin is what an actor must know of itself.
type begin struct {
	Path      string        `json:"path"`
	Expose    []string      `json:"expose"`
	Findable  bool          `json:"findable"`
	Registrar string        `json:"registrar"`
	Grace     time.Duration `json:"grace"`
	Record    string        `json:"record,omitempty"` // the folder
	Starter   starter       `json:"starter"`
}

// A starter is the task that stands for an actor in the process that has started it.
type starter struct {
	Run   string `json:"run"`
	PID   int    `json:"pid"`
	Scope uint64 `json:"scope"`
	Task  uint64 `json:"task"`
}

type welcome struct {
	Version int                 `json:"version"`
	ID      ID                  `json:"id"`
	Err     *traigo.RemoteError `json:"err,omitempty"`
}

type cancelRequest struct {
	Grace time.Duration       `json:"grace"`
	Cause *traigo.RemoteError `json:"cause"`
}

// An ending is how an actor has ended.
type ending struct {
	IsFailed bool                `json:"failed"` // by itself
	Canceled *traigo.RemoteError `json:"canceled,omitempty"`
	Err      *traigo.RemoteError `json:"err,omitempty"` // its outcome or, beside Canceled, what else has failed
}

type snapshotRequest struct {
	Within time.Duration `json:"within"`
}

type snapshotAnswer struct {
	Scope traigo.Snapshot     `json:"scope"`
	Err   *traigo.RemoteError `json:"err,omitempty"` // of those that have not answered
}

func controlFrame(kind control, id uint64, payload []byte) outbound {
	head := binary.AppendUvarint([]byte{byte(kind)}, id)
	return outbound{mem.SliceBuffer(append(head, payload...))}
}

func parseControl(data []byte) (kind control, id uint64, payload []byte, err error) {
	p := parser{data: data}
	if k := p.bytes(1); len(k) == 1 {
		kind = control(k[0])
	}
	id = p.uvarint()
	return kind, id, p.data, p.err
}

// An outbox sends control messages in order, without holding up who posts them: the other
// process may be stopped. It holds a few for each call at most.
type outbox struct {
	mu        sync.Mutex
	queue     []outbound
	stream    interface{ SendMsg(m any) error } // nil before it can be sent on
	isSending bool                              // a goroutine sends what is in the queue
	isClosed  bool
	wake      chan struct{} // holds at most one value
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// post sends a message later. After close it does nothing.
func (o *outbox) post(kind control, id uint64, v any) {
	var payload []byte
	if v != nil {
		payload = encodeJSON(v)
	}
	o.enqueue(controlFrame(kind, id, payload))
	o.signal()
}

// enqueue puts a message into the queue. It is sent after signal, or by flush.
func (o *outbox) enqueue(frame outbound) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.isClosed {
		o.queue = append(o.queue, frame)
	}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// close makes send return, without what is still in the queue.
func (o *outbox) close() {
	o.mu.Lock()
	o.isClosed, o.queue = true, nil
	o.mu.Unlock()
	o.signal()
}

// send sends what is posted until the stream fails or the outbox is closed.
func (o *outbox) send(stream interface{ SendMsg(m any) error }) {
	o.mu.Lock()
	o.stream = stream
	o.mu.Unlock()
	for o.flush() {
		<-o.wake
	}
}

// flush sends what is in the queue, unless another goroutine does, and blocks while the other
// process does not read. For a goroutine that may block it is faster than signal, by the time
// that a hand-over takes. It reports whether more can be sent.
func (o *outbox) flush() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.isSending || o.stream == nil {
		return !o.isClosed
	}
	o.isSending = true
	for len(o.queue) > 0 {
		frame := o.queue[0]
		o.queue = o.queue[1:]
		o.mu.Unlock()
		err := o.stream.SendMsg(&frame)
		o.mu.Lock()
		if err != nil {
			o.isClosed, o.queue = true, nil
			o.signal()
		}
	}
	o.isSending = false
	return !o.isClosed
}
