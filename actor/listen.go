package actor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/traigo/traigo"
)

// Between hosts there is TCP, with TLS 1.3 and certificates on both sides.

// A peer that says nothing is asked whether it is there, and is gone if it does not answer.
const (
	silence       = 10 * time.Second // gRPC allows no less
	silenceAnswer = 10 * time.Second
)

// Listen serves functions over TCP, for those who [Dial], until s ends. It returns the address.
// What they ask for is a task of s. A panic of a function is one of s.
//
// config must have a certificate of its own, by Certificates or GetCertificate, and ClientCAs,
// by which those of clients are verified. Who the caller is, peer.FromContext of gRPC tells in a
// function. Connections are ended when s ends and their calls are answered. A peer from which
// nothing has come for 20 s is gone: what runs for it is canceled.
//
// Listen panics if ctx, s, config or a function is nil, and for a config that is not as above or
// has InsecureSkipVerify set.
func Listen(ctx context.Context, s *traigo.Scope, addr string, config *tls.Config, fns ...Exposable) (net.Addr, error) {
	if ctx == nil || s == nil {
		panic(fmt.Sprintf("traigo: actor.Listen(%q): ctx or s is nil", addr))
	}
	mustNotHoldNil("Listen", fns)
	config = serverConfig(addr, config)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	h := &host{scope: s, exposed: exposed(fns), control: func(*session, control, uint64, []byte) {}}
	serve := func(ctx context.Context) error { return h.listen(ctx, l, config) }
	if _, ok := s.TrySpawn(serve, traigo.Name("listen "+l.Addr().String()), traigo.Awaited(false), cancelTimeoutOff); !ok {
		_ = l.Close()
		if cause := context.Cause(s.Context()); cause != nil {
			return nil, fmt.Errorf("%w: %w", traigo.ErrRefused, cause)
		}
		return nil, traigo.ErrRefused
	}
	return l.Addr(), nil
}

func serverConfig(addr string, config *tls.Config) *tls.Config {
	call := fmt.Sprintf("actor.Listen(%q)", addr)
	mustVerify(call, config)
	switch {
	case len(config.Certificates) == 0 && config.GetCertificate == nil:
		panic("traigo: " + call + ": the config has no certificate: set Certificates or GetCertificate")
	case config.ClientCAs == nil:
		panic("traigo: " + call + ": the config has no ClientCAs, by which to verify who asks")
	}
	return strict(config)
}

// strict returns a config that admits only clients with a certificate that it has verified.
func strict(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.MinVersion = tls.VersionTLS13
	config.ClientAuth = tls.RequireAndVerifyClientCert
	if other := config.GetConfigForClient; other != nil {
		config.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := other(info)
			switch {
			case c == nil || err != nil:
				return nil, err
			case c.ClientCAs == nil:
				return nil, errors.New("traigo: actor.Listen: GetConfigForClient has returned a config without ClientCAs")
			}
			return strict(c), nil
		}
	}
	return config
}

func mustVerify(call string, config *tls.Config) {
	switch {
	case config == nil:
		panic("traigo: " + call + ": the config is nil: there is TLS with certificates on both sides, and nothing else")
	case config.InsecureSkipVerify:
		panic("traigo: " + call + ": the config has InsecureSkipVerify: the other side would be anybody")
	}
}

// listen accepts connections until ctx is done, and then ends those that are there.
func (h *host) listen(ctx context.Context, l net.Listener, config *tls.Config) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	creds := credentials.NewTLS(config)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			if isTemporary(err) {
				time.Sleep(10 * time.Millisecond) // too many files are open, say
				continue
			}
			return err
		}
		s := h.serve(conn, false, grpc.Creds(creds), grpc.ConnectionTimeout(reachTimeout),
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: silence, Timeout: silenceAnswer}),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: silence / 2, PermitWithoutStream: true}))
		sessions.Go(func() { <-s.gone })
	}
	h.awaitCalls()
	h.tell(h.ending(ctx), time.Second, nil)
	return nil
}

func isTemporary(err error) bool {
	var e interface{ Temporary() bool }
	return errors.As(err, &e) && e.Temporary()
}

// awaitCalls returns when what runs in the scope for others has ended, which its end has
// canceled.
func (h *host) awaitCalls() {
	for {
		h.mu.Lock()
		var running []*running
		for s := range h.sessions {
			running = append(running, s.running()...)
		}
		h.mu.Unlock()
		if len(running) == 0 {
			return
		}
		for _, r := range running {
			<-r.answered
		}
	}
}

// ending is what those who have dialed are told: the end of the scope is that of the actor.
func (h *host) ending(ctx context.Context) ending {
	cause := context.Cause(ctx)
	self := Self()
	if hasFailure(cause) {
		return ending{IsFailed: true, Err: asRemote(cause)}
	}
	return ending{Canceled: asRemote(&Canceled{Actor: self, By: self, Err: cause})}
}

// Dial returns an actor for what another process serves by [Listen]. target is one of gRPC:
// "host:port", or with the scheme of a resolver. The connection is a task of s that s does not
// wait for, and whose failure cancels nothing. Cancel ends the connection and nothing else.
//
// config must have a certificate of its own, by Certificates or GetClientCertificate, and RootCAs,
// by which that of the server is verified. Dial returns when the other side has answered. If it
// has refused, or has not answered within 10 s, the error is a [*GoneError]; if ctx is done before,
// the cause. A peer from which nothing has come for 20 s is gone.
//
// Dial panics if ctx, s or config is nil, and for a config that is not as above or has
// InsecureSkipVerify set.
func Dial(ctx context.Context, s *traigo.Scope, target string, config *tls.Config) (*Actor, error) {
	if ctx == nil || s == nil {
		panic(fmt.Sprintf("traigo: actor.Dial(%q): ctx or s is nil", target))
	}
	config = clientConfig(target, config)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return reach(ctx, s, target, true, func(context.Context) (*link, ID, error) {
		l, err := connect(target,
			grpc.WithTransportCredentials(credentials.NewTLS(config)),
			grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"pick_first":{}}]}`), // a session is one connection
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: silence, Timeout: silenceAnswer, PermitWithoutStream: true}))
		return l, ID{Path: target, Host: target}, err
	})
}

func clientConfig(target string, config *tls.Config) *tls.Config {
	call := fmt.Sprintf("actor.Dial(%q)", target)
	mustVerify(call, config)
	switch {
	case len(config.Certificates) == 0 && config.GetClientCertificate == nil:
		panic("traigo: " + call + ": the config has no certificate: set Certificates or GetClientCertificate")
	case config.RootCAs == nil:
		panic("traigo: " + call + ": the config has no RootCAs, by which to verify the server")
	}
	config = config.Clone()
	config.MinVersion = tls.VersionTLS13
	return config
}
