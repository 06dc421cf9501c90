package actor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"

	"github.com/traigo/traigo"
)

// What goes over a connection. One side asks: it is the client of gRPC, and began the
// connection, or has started the actor. The other one serves. Three methods are enough:
//
//	Call     a Function: one request, one response
//	Stream   a Sequence or a Conversation: a request, then parts in both directions
//	Control  one per connection, from its beginning to its end: everything else
//
// The end of a gRPC stream, and gRPC's cancellation, carry no cause and are not answered. So a
// call is canceled on the control stream, and the response of a Stream comes on it too: it must
// reach the asker also if nobody reads the parts that were sent before.

// protocol is the version of all that. A side that has another one is refused.
var protocol = 1 // a variable for tests

const (
	serviceName   = "traigo.Actor"
	callMethod    = "/" + serviceName + "/Call"
	streamMethod  = "/" + serviceName + "/Stream"
	controlMethod = "/" + serviceName + "/Control"
)

// maxFrame is the size of a message of gRPC: a value and what is said about it.
const maxFrame = maxMessage + 2*maxError

// maxError is how many bytes the texts and values of an error may take. In JSON they take up to
// six times as many, and an ending has two errors.
const maxError = 4 << 20

// streamWindow is how many bytes of a stream are received ahead of its reader. Together with
// what gRPC and the socket hold it is less than 4 MiB.
const (
	streamWindow = 1 << 20
	connWindow   = 16 << 20 // gRPC refills it on receipt: a stream that stands takes nothing from others
)

// streamWorkers is how many goroutines of a session wait for calls. A goroutine that is started
// for a call, as for those beyond, has to have its stack copied into larger ones first, which
// takes a tenth of the time of a small call.
const streamWorkers = 4

// A rawCodec is the codec of gRPC: messages are bytes. It gets pointers, which are not
// allocated anew for each message as the interface for a slice would be.
type rawCodec struct{}

type (
	outbound []mem.Buffer             // the parts of a message that is to be sent
	inbound  struct{ buf mem.Buffer } // a message that has come
)

func (rawCodec) Name() string { return "traigo" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) { return mem.BufferSlice(*v.(*outbound)), nil }

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	v.(*inbound).buf = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}

func (in *inbound) data() []byte { return in.buf.ReadOnlyData() }

// kind is the last byte, of a part; 0 if there is none.
func (in *inbound) kind() byte {
	data := in.data()
	if len(data) == 0 {
		return 0
	}
	return data[len(data)-1]
}

// free gives the memory back. Nothing may refer to data any more.
func (in *inbound) free() {
	if in.buf != nil {
		in.buf.Free()
		in.buf = nil
	}
}

// A request begins a call.
type request struct {
	id       uint64
	left     time.Duration // until the deadline; 0 if there is none
	name     string
	argument []byte
}

func (r *request) frame(argument mem.Buffer) outbound {
	head := binary.AppendUvarint(make([]byte, 0, 32+len(r.name)), r.id)
	head = binary.AppendVarint(head, int64(r.left))
	head = binary.AppendUvarint(head, uint64(len(r.name)))
	head = append(head, r.name...)
	return outbound{mem.SliceBuffer(head), argument}
}

var errFrame = errors.New("traigo: actor: a message does not have the form it should have")

func parseRequest(data []byte) (r request, err error) {
	p := parser{data: data}
	r.id, r.left = p.uvarint(), time.Duration(p.varint())
	r.name = string(p.bytes(p.uvarint()))
	r.argument = p.data
	return r, p.err
}

// A verdict is how a call has ended.
type verdict byte

const (
	succeeded  verdict = iota + 1
	failed             // with an error of its own
	canceled           // with nothing but the cancellation, by whomever
	expired            // with nothing but the end of its time
	notExposed         // it was not called
	over               // it was not called, since the scope of the actor has ended
)

// A response ends a call.
type response struct {
	verdict verdict
	err     *traigo.RemoteError
	result  mem.Buffer // also beside an error; nil if there is none
}

// frame is the response as a message that begins with head.
func (r *response) frame(head ...byte) outbound {
	var text []byte
	if r.err != nil {
		text = appendError(nil, r.err)
	}
	head = append(head, byte(r.verdict))
	head = binary.AppendUvarint(head, uint64(len(text)))
	out := outbound{mem.SliceBuffer(append(head, text...))}
	if r.result != nil {
		out = append(out, r.result)
	}
	return out
}

// parseResponse reads a response. Its result is a part of data.
func parseResponse(data []byte) (r response, result []byte, err error) {
	p := parser{data: data}
	if v := p.bytes(1); len(v) == 1 {
		r.verdict = verdict(v[0])
	}
	if text := p.bytes(p.uvarint()); len(text) > 0 && p.err == nil {
		r.err, p.err = parseError(text)
	}
	return r, p.data, p.err
}

// bounded returns an error that fits into a message. If it is too large it loses the values of
// registered types, or the causes, that do not fit: a message that cannot be sent would take the
// connection with it.
func bounded(e *traigo.RemoteError) *traigo.RemoteError {
	if left := maxError; e == nil || fits(e, &left) {
		return e
	}
	type node struct{ from, to *traigo.RemoteError }
	root := &traigo.RemoteError{}
	nodes, left := []node{{e, root}}, maxError-textSize(e)
	for i := 0; i < len(nodes); i++ {
		n := nodes[i]
		data, causes := n.from.Data, n.from.Causes
		*n.to = *n.from
		n.to.Data, n.to.Causes = nil, nil
		if len(data) <= left {
			n.to.Data = data
			left -= len(data)
		}
		for _, c := range causes {
			if c == nil || left <= 0 {
				continue
			}
			to := &traigo.RemoteError{}
			n.to.Causes = append(n.to.Causes, to)
			nodes = append(nodes, node{c, to})
			left -= textSize(c)
		}
	}
	return root
}

func fits(e *traigo.RemoteError, left *int) bool {
	*left -= textSize(e) + len(e.Data)
	return *left >= 0 && !slices.ContainsFunc(e.Causes, func(c *traigo.RemoteError) bool { return c != nil && !fits(c, left) })
}

func textSize(e *traigo.RemoteError) int {
	return len(e.Type) + len(e.Msg) + len(e.Where) + len(e.Stack)
}

// appendError appends an error. With JSON a cancellation takes a fifth longer from one process to
// the other: it mostly comes after a while in which nothing has happened, and a reflecting
// encoder has much code that is in no cache of the processor then.
func appendError(b []byte, e *traigo.RemoteError) []byte {
	for _, text := range [...]string{e.Type, e.Msg, e.Where, e.Stack, string(e.Data)} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	sentinel := byte(0)
	if e.Sentinel {
		sentinel = 1
	}
	b = binary.AppendUvarint(append(b, sentinel), uint64(len(e.Causes)))
	for _, c := range e.Causes {
		b = appendError(b, c)
	}
	return b
}

func parseError(data []byte) (*traigo.RemoteError, error) {
	p := parser{data: data}
	left := maxErrors
	e := p.error(&left)
	return e, p.err
}

// maxErrors is how many errors one may consist of. traigo.AsRemote makes fewer; more of them,
// one within the other, could overflow the stack.
const maxErrors = 1000

func (p *parser) error(left *int) *traigo.RemoteError {
	if *left--; *left < 0 {
		p.data, p.err = nil, errFrame
	}
	e := &traigo.RemoteError{}
	for _, text := range [...]*string{&e.Type, &e.Msg, &e.Where, &e.Stack} {
		*text = string(p.bytes(p.uvarint()))
	}
	e.Data = append(e.Data, p.bytes(p.uvarint())...)
	e.Sentinel = bytes.Equal(p.bytes(1), []byte{1})
	for n := p.uvarint(); n > 0 && p.err == nil; n-- {
		e.Causes = append(e.Causes, p.error(left))
	}
	return e
}

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

// encodeJSON encodes what this package has made.
func encodeJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("traigo: actor: %v", err))
	}
	return data
}

// A parser reads a message from its beginning. After an error it reads zeros.
type parser struct {
	data []byte
	err  error
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.data)
	p.skip(n)
	return v
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.data)
	p.skip(n)
	return v
}

func (p *parser) skip(n int) {
	if n <= 0 {
		p.data, p.err = nil, errFrame
		return
	}
	p.data = p.data[n:]
}

func (p *parser) bytes(n uint64) []byte {
	if n > uint64(len(p.data)) {
		p.data, p.err = nil, errFrame
		return nil
	}
	b := p.data[:n]
	p.data = p.data[n:]
	return b
}

func (p *parser) json(data []byte, to any) {
	if err := json.Unmarshal(data, to); err != nil && p.err == nil {
		p.err = fmt.Errorf("%w: %w", errFrame, err)
	}
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

// serverOptions and dialOptions are what both ends of each connection have in common.
func serverOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.MaxRecvMsgSize(maxFrame), grpc.MaxSendMsgSize(maxFrame),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
		grpc.NumStreamWorkers(streamWorkers),
		// By default the connection ends after 2 h if the asker does not answer: it may be in a debugger.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: math.MaxInt64}),
	}
}

func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxFrame), grpc.MaxCallSendMsgSize(maxFrame)),
		grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithDisableHealthCheck(), grpc.WithIdleTimeout(0),
	}
}
