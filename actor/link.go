package actor

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A link is a connection with an actor, at the side that asks.
type link struct {
	conn    *grpc.ClientConn
	control grpc.ClientStream
	outbox  *outbox
	hear    func(kind control, id uint64, payload []byte) // what is not about calls; on the goroutine that receives
	end     context.CancelFunc                            // ends the control stream
	onLost  func()                                        // called after the last hear; may be nil

	welcomed chan welcome  // holds one
	ended    chan struct{} // closed when the actor has said how it has ended
	lost     chan struct{} // closed when nothing comes any more

	mu     sync.Mutex
	how    ending
	lastID uint64
	calls  map[uint64]*call
	idle   chan struct{} // closed when no call is left; nil if nobody waits for that
	why    error         // lost: what gRPC has said
	isOver bool          // ended or lost: there are no new calls
}

// connectTo begins a link by a connection that is there already. Nothing is said by it yet.
func connectTo(conn net.Conn) (*link, error) {
	once := make(chan net.Conn, 1)
	once <- conn
	return connect("passthrough:actor",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			select {
			case c := <-once:
				return c, nil
			default:
				return nil, errConnection
			}
		}))
}

func connect(target string, opts ...grpc.DialOption) (*link, error) {
	conn, err := grpc.NewClient(target, append(dialOptions(), opts...)...)
	if err != nil {
		return nil, err
	}
	return &link{
		conn: conn, outbox: newOutbox(), calls: map[uint64]*call{},
		welcomed: make(chan welcome, 1), ended: make(chan struct{}), lost: make(chan struct{}),
	}, nil
}

// greet begins the conversation, and returns when the other side has answered. hear is called
// with what it says beside that.
func (l *link) greet(ctx context.Context, h hello, hear func(kind control, id uint64, payload []byte)) (ID, error) {
	stream, cancel := context.WithCancel(context.Background())
	l.end = cancel
	l.hear = hear
	stop := context.AfterFunc(ctx, cancel)
	control, err := l.conn.NewStream(stream, &serviceDesc.Streams[1], controlMethod)
	if err != nil {
		stop()
		cancel()
		if ctx.Err() != nil {
			return ID{}, context.Cause(ctx)
		}
		return ID{}, err
	}
	l.control = control
	go l.outbox.send(control)
	go l.receive()
	h.Version, h.From = protocol, Self()
	l.outbox.post(sayHello, 0, h)
	select {
	case w := <-l.welcomed:
		if !stop() {
			return ID{}, context.Cause(ctx)
		}
		if w.Version != protocol {
			return ID{}, fmt.Errorf("traigo: actor: the other side speaks version %d of the protocol, this one version %d: build both with the same release", w.Version, protocol)
		}
		return w.ID, asError(w.Err)
	case <-l.lost:
		stop()
		if ctx.Err() != nil {
			return ID{}, context.Cause(ctx)
		}
		return ID{}, fmt.Errorf("%w: %w", errConnection, l.reason())
	}
}

// receive receives what the other side says, until the connection ends.
func (l *link) receive() {
	err := l.receiveAll()
	l.mu.Lock()
	l.why, l.isOver = err, true
	calls := make([]*call, 0, len(l.calls))
	for _, c := range l.calls {
		calls = append(calls, c)
	}
	l.mu.Unlock()
	l.outbox.close()
	close(l.lost)
	if l.onLost != nil {
		l.onLost()
	}
	for _, c := range calls {
		c.lose()
	}
}

func (l *link) receiveAll() error {
	for {
		var in inbound
		if err := l.control.RecvMsg(&in); err != nil {
			return err
		}
		kind, id, payload, err := parseControl(in.data())
		if err != nil {
			return err
		}
		switch kind {
		case sayWelcome:
			var w welcome
			if err := decodeJSON(payload, &w); err != nil {
				return err
			}
			l.welcomed <- w
		case returned:
			how, result, err := parseResponse(payload)
			if err != nil {
				return err
			}
			l.mu.Lock()
			c := l.calls[id]
			l.mu.Unlock()
			if c != nil {
				c.finish(how, result)
			}
			continue // the result is a part of the message
		case ended:
			var how ending
			if err := decodeJSON(payload, &how); err != nil {
				return err
			}
			l.mu.Lock()
			l.how, l.isOver = how, true
			l.mu.Unlock()
			close(l.ended)
		default:
			l.hear(kind, id, payload)
		}
		in.free()
	}
}

func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// awaitCalls returns when all calls were answered, or after a while.
func (l *link) awaitCalls(within time.Duration) {
	l.mu.Lock()
	if len(l.calls) == 0 {
		l.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	l.idle = idle
	l.mu.Unlock()
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-idle:
	case <-l.lost:
	case <-late.C:
	}
}

// cancelCalls cancels all calls, and lets no new ones begin.
func (l *link) cancelCalls(cause error) {
	l.mu.Lock()
	l.isOver = true
	calls := make([]*call, 0, len(l.calls))
	for _, c := range l.calls {
		calls = append(calls, c)
	}
	l.mu.Unlock()
	for _, c := range calls {
		c.cancel(cause)
	}
}

// close ends the connection.
func (l *link) close() {
	l.outbox.close()
	if l.end != nil {
		l.end()
	}
	_ = l.conn.Close()
}
