package actor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
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
	succeeded   verdict = iota + 1
	failed              // with an error of its own
	actorFailed         // by a panic, which ends the actor, or because the actor has failed otherwise
	canceled            // with nothing but the cancellation, by whomever
	expired             // with nothing but the end of its time
	notExposed          // it was not called
	over                // it was not called, since the scope of the actor has ended
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

// encodeJSON encodes what this package has made.
func encodeJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("traigo: actor: %v", err))
	}
	return data
}

func decodeJSON(data []byte, to any) error {
	p := parser{}
	p.json(data, to)
	return p.err
}

// asError returns e as an error, nil if it is nil.
func asError(e *traigo.RemoteError) error {
	if e == nil {
		return nil
	}
	return e
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
