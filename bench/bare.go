package bench

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"

	"github.com/traigo/traigo/proc"
)

// What package actor is compared with: gRPC by hand, with another process of this program.
// Package proc starts and ends that one for both. Sizes of windows, and dial options, are those
// of package actor. The server has no stream workers, as is gRPC's default.

func init() { proc.Handle("bare", serveBare) } //nolint:gochecknoinits // before Serve

// A bytesCodec is a codec of gRPC for *[]byte. It copies what is sent and what has come, as
// package actor does, since both belong to somebody else afterwards.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "bytes" }

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.Copy(*v.(*[]byte), mem.DefaultBufferPool())}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

const (
	streamWindow = 1 << 20
	connWindow   = 16 << 20
)

// serveBare is what the other process does.
func serveBare(conn net.Conn) {
	s := grpc.NewServer(grpc.ForceServerCodecV2(bytesCodec{}),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow))
	s.RegisterService(&bareService, nil)
	ended := make(chan struct{})
	_ = s.Serve(&oneConn{conn: &watchedConn{Conn: conn, ended: ended}, addr: conn.LocalAddr(), ended: ended})
}

// A oneConn is a listener that accepts one connection, and ends with it.
type oneConn struct {
	conn  net.Conn // nil when it was accepted
	addr  net.Addr
	ended chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.ended
	return nil, io.EOF
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.addr }

// A watchedConn tells of its end.
type watchedConn struct {
	net.Conn
	once  sync.Once
	ended chan struct{}
}

func (c *watchedConn) Close() error {
	defer c.once.Do(func() { close(c.ended) })
	return c.Conn.Close()
}

var bareService = grpc.ServiceDesc{
	ServiceName: "Bare",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		bareMethod("Echo", func(_ context.Context, in []byte) ([]byte, error) { return in, nil }),
		bareMethod("Sign", func(_ context.Context, in []byte) ([]byte, error) {
			var n note
			if err := json.Unmarshal(in, &n); err != nil {
				return nil, err
			}
			return json.Marshal(sign(n))
		}),
		bareMethod("Hold", func(ctx context.Context, _ []byte) ([]byte, error) { return nil, hold(ctx) }),
		bareMethod("Held", func(context.Context, []byte) ([]byte, error) { return nil, held() }),
		bareMethod("Heard", func(context.Context, []byte) ([]byte, error) { return json.Marshal(heard()) }),
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "Talk", ServerStreams: true, ClientStreams: true, Handler: bareTalk},
		{StreamName: "Down", ServerStreams: true, Handler: bareDown},
		{StreamName: "Up", ClientStreams: true, Handler: bareUp},
	},
}

func bareMethod(name string, f func(context.Context, []byte) ([]byte, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var in []byte
		if err := read(&in); err != nil {
			return nil, err
		}
		out, err := f(ctx, in)
		return &out, err
	}}
}

// bareTalk sends back what comes.
func bareTalk(_ any, s grpc.ServerStream) error {
	var item []byte
	for {
		if err := s.RecvMsg(&item); err != nil {
			return unlessEOF(err)
		}
		if err := s.SendMsg(&item); err != nil {
			return err
		}
	}
}

func unlessEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// bareDown sends as many items as it is asked for.
func bareDown(_ any, s grpc.ServerStream) error {
	var in []byte
	var n int
	if err := s.RecvMsg(&in); err != nil {
		return err
	}
	if err := json.Unmarshal(in, &n); err != nil {
		return err
	}
	item := item
	for range n {
		if err := s.SendMsg(&item); err != nil {
			return err
		}
	}
	return nil
}

// bareUp counts the items that come.
func bareUp(_ any, s grpc.ServerStream) error {
	var item []byte
	for n := 0; ; n++ {
		err := s.RecvMsg(&item)
		if errors.Is(err, io.EOF) {
			out, err := json.Marshal(n)
			if err != nil {
				return err
			}
			return s.SendMsg(&out)
		}
		if err != nil {
			return err
		}
	}
}

// A bare is another process that is asked by gRPC alone.
type bare struct {
	child *proc.Child
	conn  *grpc.ClientConn
}

func newBare(ctx context.Context) *bare {
	child, err := proc.Launch(ctx, "bare", proc.KillAfter(0))
	must(err)
	conn, err := grpc.NewClient("passthrough:bare", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return child.Conn(), nil }),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(bytesCodec{})),
		grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithDisableHealthCheck(), grpc.WithIdleTimeout(0))
	must(err)
	return &bare{child, conn}
}

// end asks the process to end, and waits until it was reaped.
func (b *bare) end() {
	must(b.conn.Close())
	<-b.child.Exited()
}

func (b *bare) call(ctx context.Context, method string, in []byte) (out []byte, err error) {
	err = b.conn.Invoke(ctx, "/Bare/"+method, &in, &out)
	return out, err
}

// sign is a call whose argument and result are JSON.
func (b *bare) sign(ctx context.Context, n note) note {
	in, err := json.Marshal(n)
	must(err)
	out, err := b.call(ctx, "Sign", in)
	must(err)
	var signed note
	must(json.Unmarshal(out, &signed))
	return signed
}

func (b *bare) open(ctx context.Context, stream int) grpc.ClientStream {
	desc := &bareService.Streams[stream]
	s, err := b.conn.NewStream(ctx, desc, "/Bare/"+desc.StreamName)
	must(err)
	return s
}

// talk has body talk with the other process, and waits until that has returned too.
func (b *bare) talk(ctx context.Context, body func(s grpc.ClientStream)) {
	s := b.open(ctx, 0)
	body(s)
	must(s.CloseSend())
	mustEnd(s)
}

func mustEnd(s grpc.ClientStream) {
	var none []byte
	if err := s.RecvMsg(&none); !errors.Is(err, io.EOF) {
		panic(err)
	}
}

// bareExchange is one item each way.
func bareExchange(s grpc.ClientStream) {
	item := item
	must(s.SendMsg(&item))
	must(s.RecvMsg(&item))
}

func (b *bare) down(ctx context.Context, n int) {
	s := b.open(ctx, 1)
	in, err := json.Marshal(n)
	must(err)
	must(s.SendMsg(&in))
	must(s.CloseSend())
	var item []byte
	for range n {
		must(s.RecvMsg(&item))
	}
	mustEnd(s)
}

func (b *bare) up(ctx context.Context, n int) {
	s := b.open(ctx, 2)
	item := item
	for range n {
		must(s.SendMsg(&item))
	}
	must(s.CloseSend())
	var out []byte
	must(s.RecvMsg(&out))
	mustBe(n, out)
}

func mustBe(n int, out []byte) {
	var counted int
	must(json.Unmarshal(out, &counted))
	if counted != n {
		panic("bench: items are missing")
	}
}

// cancel returns how long it takes from the cancellation of a call until the other process
// hears of it.
func (b *bare) cancel(ctx context.Context) time.Duration {
	return untilHeard(ctx, func(ctx context.Context) { _, _ = b.call(ctx, "Hold", nil) }, func() {
		_, err := b.call(ctx, "Held", nil)
		must(err)
	}, func() (at time.Time) {
		out, err := b.call(ctx, "Heard", nil)
		must(err)
		must(json.Unmarshal(out, &at))
		return at
	})
}
