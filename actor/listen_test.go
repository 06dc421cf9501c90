//go:build linux

package actor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// Between hosts (A30).

// who returns the name in the certificate of who asks.
var who = actor.Func("life.who", func(ctx context.Context, _ int) (string, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", errors.New("there is no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return "", errors.New("there is no TLS")
	}
	return fmt.Sprintf("%s %x", info.State.PeerCertificates[0].Subject.CommonName, info.State.Version), nil
})

// An authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{t, cert, key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// sign returns a certificate for 127.0.0.1 that is valid until then.
func (a *authority) sign(name string, until time.Time) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// server and client return configs whose certificates have the names.
func (a *authority) server(name string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.sign(name, time.Now().Add(time.Hour))}, ClientCAs: a.pool()}
}

func (a *authority) client(name string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.sign(name, time.Now().Add(time.Hour))}, RootCAs: a.pool()}
}

// listening listens in a scope of its own, which is closed when the test has ended.
func listening(t *testing.T, config *tls.Config, fns ...actor.Exposable) (addr string, s *traigo.Scope) {
	t.Helper()
	s = traigo.New(context.Background(), traigo.Name("server"))
	at, err := actor.Listen(t.Context(), s, "127.0.0.1:0", config, append(fns, do, who)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return at.String(), s
}

func TestDialedFunctionIsATaskOfTheScopeThatListens(t *testing.T) {
	leavesNothing(t)
	ca := newAuthority(t, "ca")
	addr, server := listening(t, ca.server("the server"))
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a, err := actor.Dial(ctx, s, addr, ca.client("the client"))
		require.NoError(t, err)
		assert.Equal(t, actor.Self(), a.ID(), "who Listens is this process")
		assert.Same(t, s, a.Task().Scope())
		assert.False(t, a.Task().Flags().Awaited)
		assert.False(t, a.Task().Flags().Bubble)
		r, err := do.Run(ctx, a, order{Do: "look"})
		require.NoError(t, err)
		assert.Equal(t, server.Path(), r.Scope)
		name, err := who.Run(ctx, a, 0)
		require.NoError(t, err)
		assert.Equal(t, "the client 304", name, "TLS 1.3")
		_, err = square.Run(ctx, a, 2)
		require.ErrorIs(t, err, actor.ErrNotExposed)
		_, err = do.Run(ctx, a, order{Do: "fail", N: 3})
		var number *lifeError
		require.ErrorAs(t, err, &number)
		assert.Contains(t, panicOf(a.Kill), "traigo: ")
		short, cancel := context.WithCancelCause(ctx)
		p := call(short, t, a, order{Do: "wait"})
		assert.Len(t, slices.Collect(tasksNamed(server, "life.do")), 1)
		cancel(errLife)
		_, err = p.wait(t)
		require.ErrorIs(t, err, errLife)
	}))
	require.NoError(t, server.Context().Err())
}

// tasksNamed returns the tasks of a scope that have a name.
func tasksNamed(s *traigo.Scope, name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, t := range s.Snapshot().Tasks {
			if t.Name == name && !yield(t.Path) {
				return
			}
		}
	}
}

func TestListenAndDialPanicForWhatIsNotSafe(t *testing.T) {
	leavesNothing(t)
	ca := newAuthority(t, "ca")
	good, fine := ca.server("server"), ca.client("client")
	change := func(config *tls.Config, f func(*tls.Config)) *tls.Config {
		config = config.Clone()
		f(config)
		return config
	}
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		listen := func(config *tls.Config) func() {
			return func() { _, _ = actor.Listen(ctx, s, "127.0.0.1:0", config, do) }
		}
		dial := func(config *tls.Config) func() {
			return func() { _, _ = actor.Dial(ctx, s, "127.0.0.1:1", config) }
		}
		for what, f := range map[string]func(){
			"Listen: no config":          listen(nil),
			"Listen: an empty config":    listen(&tls.Config{}),
			"Listen: no certificate":     listen(change(good, func(c *tls.Config) { c.Certificates = nil })),
			"Listen: no ClientCAs":       listen(change(good, func(c *tls.Config) { c.ClientCAs = nil })),
			"Listen: InsecureSkipVerify": listen(change(good, func(c *tls.Config) { c.InsecureSkipVerify = true })),
			"Listen: no ctx":             func() { _, _ = actor.Listen(nil, s, "127.0.0.1:0", good, do) }, //nolint:staticcheck // nil is what is tested
			"Listen: no scope":           func() { _, _ = actor.Listen(ctx, nil, "127.0.0.1:0", good, do) },
			"Listen: a nil function":     func() { _, _ = actor.Listen(ctx, s, "127.0.0.1:0", good, nil) },
			"Dial: no config":            dial(nil),
			"Dial: an empty config":      dial(&tls.Config{}),
			"Dial: no certificate":       dial(change(fine, func(c *tls.Config) { c.Certificates = nil })),
			"Dial: no RootCAs":           dial(change(fine, func(c *tls.Config) { c.RootCAs = nil })),
			"Dial: InsecureSkipVerify":   dial(change(fine, func(c *tls.Config) { c.InsecureSkipVerify = true })),
			"Dial: no ctx":               func() { _, _ = actor.Dial(nil, s, "127.0.0.1:1", fine) }, //nolint:staticcheck // nil is what is tested
			"Dial: no scope":             func() { _, _ = actor.Dial(ctx, nil, "127.0.0.1:1", fine) },
		} {
			message := panicOf(f)
			assert.True(t, strings.HasPrefix(message, "traigo: actor."), "%s: %q", what, message)
		}
	}))
}

func TestListenWhereItCannot(t *testing.T) {
	leavesNothing(t)
	ca := newAuthority(t, "ca")
	config := ca.server("server")
	addr, s := listening(t, config)
	_, err := actor.Listen(t.Context(), s, addr, config, do)
	require.Error(t, err, "the address is taken")
	over, cancel := context.WithCancelCause(t.Context())
	cancel(errLife)
	_, err = actor.Listen(over, s, "127.0.0.1:0", config, do)
	require.ErrorIs(t, err, errLife)
	require.NoError(t, s.Close())
	_, err = actor.Listen(t.Context(), s, "127.0.0.1:0", config, do)
	require.ErrorIs(t, err, traigo.ErrRefused)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		began := time.Now()
		_, err = actor.Dial(ctx, s, addr, ca.client("client"))
		var gone *actor.GoneError
		require.ErrorAs(t, err, &gone, "nobody listens any more")
		assert.Contains(t, err.Error(), addr)
		assert.Less(t, time.Since(began), 5*time.Second)
		require.NoError(t, ctx.Err())
	}))
}

// Who is not trusted is refused, and nothing is run for them.
func TestDialIsRefused(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "another ca")
	expired := time.Now().Add(-time.Hour)
	for name, test := range map[string]struct{ server, client *tls.Config }{
		"the server is not trusted": {other.server("s"), &tls.Config{Certificates: []tls.Certificate{other.sign("c", time.Now().Add(time.Hour))}, RootCAs: ca.pool()}},
		"the client is not trusted": {ca.server("s"), &tls.Config{Certificates: []tls.Certificate{other.sign("c", time.Now().Add(time.Hour))}, RootCAs: ca.pool()}},
		"the client has expired":    {ca.server("s"), &tls.Config{Certificates: []tls.Certificate{ca.sign("c", expired)}, RootCAs: ca.pool()}},
		"the server has expired":    {&tls.Config{Certificates: []tls.Certificate{ca.sign("s", expired)}, ClientCAs: ca.pool()}, ca.client("c")},
		"the client gives none": {ca.server("s"), &tls.Config{RootCAs: ca.pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{}, nil
		}}},
		"the server has another name": {ca.server("s"), func() *tls.Config {
			config := ca.client("c")
			config.ServerName = "elsewhere.example"
			return config
		}()},
		// What the configs say about the version and the client does not count.
		"the config of the server is lax": {func() *tls.Config {
			config := ca.server("s")
			config.ClientAuth, config.MinVersion = tls.NoClientCert, tls.VersionTLS10
			return config
		}(), &tls.Config{Certificates: []tls.Certificate{other.sign("c", time.Now().Add(time.Hour))}, RootCAs: ca.pool()}},
		"GetConfigForClient is lax": {func() *tls.Config {
			config := ca.server("s")
			lax := config.Clone()
			lax.ClientCAs, lax.ClientAuth = nil, tls.NoClientCert
			config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return lax, nil }
			return config
		}(), ca.client("c")},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			addr, _ := listening(t, test.server)
			require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
				began := time.Now()
				a, err := actor.Dial(ctx, s, addr, test.client)
				assert.Nil(t, a)
				var gone *actor.GoneError
				require.ErrorAs(t, err, &gone)
				assert.Contains(t, err.Error(), addr)
				assert.Less(t, time.Since(began), 8*time.Second, "at once: %v", err)
				require.NoError(t, ctx.Err())
			}))
		})
	}
}

// Others than Dial are refused as well.
func TestOthersAreRefused(t *testing.T) {
	ca := newAuthority(t, "ca")
	for name, connect := range map[string]func(addr string) error{
		"TLS 1.2": func(addr string) error {
			config := ca.client("c")
			config.MaxVersion = tls.VersionTLS12
			conn, err := tls.Dial("tcp", addr, config)
			if err == nil {
				_ = conn.Close()
			}
			return err
		},
		"no certificate": func(addr string) error {
			config := ca.client("c")
			config.Certificates = nil
			conn, err := tls.Dial("tcp", addr, config)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(soon))
			_, err = conn.Read(make([]byte, 1)) // in TLS 1.3 the refusal comes later
			return err
		},
		"no TLS": func(addr string) error {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
			_ = conn.SetDeadline(time.Now().Add(soon))
			all, err := io.ReadAll(conn)
			if err == nil && len(all) < 32 { // an alert, perhaps
				err = io.EOF
			}
			return err
		},
		"gRPC without TLS": func(addr string) error {
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithTimeout(context.Background(), soon)
			defer cancel()
			return conn.Invoke(ctx, "/traigo.Actor/Call", nil, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			addr, _ := listening(t, ca.server("s"))
			began := time.Now()
			require.Error(t, connect(addr))
			assert.Less(t, time.Since(began), soon)
			require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
				_, err := actor.Dial(ctx, s, addr, ca.client("c"))
				require.NoError(t, err, "it listens on")
			}))
		})
	}
}

// A server that speaks no TLS 1.3.
func TestDialRefusesAnOldServer(t *testing.T) {
	leavesNothing(t)
	ca := newAuthority(t, "ca")
	config := ca.server("s")
	config.MaxVersion = tls.VersionTLS12
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(t, err)
	done := make(chan struct{})
	var accepted atomic.Int64
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if err := conn.(*tls.Conn).Handshake(); err == nil {
				accepted.Add(1)
			}
			_ = conn.Close()
		}
	}()
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		_, err := actor.Dial(ctx, s, l.Addr().String(), ca.client("c"))
		var gone *actor.GoneError
		require.ErrorAs(t, err, &gone)
	}))
	require.NoError(t, l.Close())
	<-done
	assert.Zero(t, accepted.Load(), "it was not what it has said that was refused")
}

func TestCertificatesAreRotated(t *testing.T) {
	leavesNothing(t)
	older, newer := newAuthority(t, "older"), newAuthority(t, "newer")
	both := older.pool()
	both.AddCert(newer.cert)
	var server, client atomic.Pointer[tls.Certificate]
	set := func(ca *authority, name string) {
		s, c := ca.sign(name, time.Now().Add(time.Hour)), ca.sign(name, time.Now().Add(time.Hour))
		server.Store(&s)
		client.Store(&c)
	}
	set(older, "first")
	addr, _ := listening(t, &tls.Config{ClientCAs: both, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return server.Load(), nil }})
	config := func(roots *x509.CertPool) *tls.Config {
		return &tls.Config{RootCAs: roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return client.Load(), nil }}
	}
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a, err := actor.Dial(ctx, s, addr, config(older.pool()))
		require.NoError(t, err)
		name, err := who.Run(ctx, a, 0)
		require.NoError(t, err)
		assert.Contains(t, name, "first")
		set(newer, "second")
		name, err = who.Run(ctx, a, 0)
		require.NoError(t, err, "what is connected stays so")
		assert.Contains(t, name, "first")
		_, err = actor.Dial(ctx, s, addr, config(older.pool()))
		require.Error(t, err, "the server has a new one")
		b, err := actor.Dial(ctx, s, addr, config(newer.pool()))
		require.NoError(t, err)
		name, err = who.Run(ctx, b, 0)
		require.NoError(t, err)
		assert.Contains(t, name, "second")
	}))
}

func TestCancelOfADialedActorEndsTheConnectionAlone(t *testing.T) {
	leavesNothing(t)
	ca := newAuthority(t, "ca")
	addr, server := listening(t, ca.server("s"))
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a, err := actor.Dial(ctx, s, addr, ca.client("c"))
		require.NoError(t, err)
		b, err := actor.Dial(ctx, s, addr, ca.client("c"))
		require.NoError(t, err)
		p, q := call(ctx, t, a, order{Do: "wait"}), call(ctx, t, b, order{Do: "cause"})
		a.Cancel(errLife)
		require.NoError(t, a.Wait(ctx))
		require.NoError(t, a.Err())
		_, err = p.wait(t)
		requireGone(t, err, a.ID())
		_, err = do.Run(ctx, a, order{Do: "look"})
		requireGone(t, err, a.ID())
		require.Eventually(t, func() bool { return len(slices.Collect(tasksNamed(server, "life.do"))) == 1 }, soon, time.Millisecond,
			"what ran for it was canceled")
		require.NoError(t, server.Context().Err())
		_, err = do.Run(ctx, b, order{Do: "look"})
		require.NoError(t, err, "other connections are there")
		select {
		case <-q.done:
			assert.Fail(t, "the call of another connection has ended")
		default:
		}
	}))
}

func TestCallsAreAnsweredWhenTheScopeThatListensEnds(t *testing.T) {
	leavesNothing(t)
	ca := newAuthority(t, "ca")
	addr, server := listening(t, ca.server("s"))
	dir := t.TempDir()
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a, err := actor.Dial(ctx, s, addr, ca.client("c"))
		require.NoError(t, err)
		slow := call(ctx, t, a, order{Do: "slowly", For: 1500 * time.Millisecond, Name: dir + "/returned"})
		cause := call(ctx, t, a, order{Do: "cause"})
		fails := call(ctx, t, a, order{Do: "complain", N: 11})
		server.Cancel(errLife)
		r, err := cause.wait(t)
		require.NoError(t, err, "it has a result")
		assert.Contains(t, r.Text, errLife.Error())
		_, err = slow.wait(t)
		require.ErrorIs(t, err, errLife)
		assert.FileExists(t, dir+"/returned")
		_, err = fails.wait(t)
		var number *lifeError
		require.ErrorAs(t, err, &number)
		assert.Equal(t, 11, number.N)
		requireClosed(t, a.Done(), "the connection has ended")
		require.ErrorIs(t, a.Err(), errLife, "who is connected is told why")
	}))
	require.ErrorIs(t, server.Close(), errLife)
}

// A panic of a function is one of the scope that listens.
func TestPanicOfADialedFunctionIsThatOfTheScope(t *testing.T) {
	leavesNothing(t)
	logged(t)
	ca := newAuthority(t, "ca")
	var callErr error
	value := func() (value any) {
		defer func() { value = recover() }()
		_ = runScope(t, func(ctx context.Context, s *traigo.Scope) {
			at, err := actor.Listen(ctx, s, "127.0.0.1:0", ca.server("s"), do)
			require.NoError(t, err)
			other := traigo.New(context.Background())
			defer func() { _ = other.Close() }()
			a, err := actor.Dial(context.Background(), other, at.String(), ca.client("c"))
			require.NoError(t, err)
			_, callErr = do.Run(context.Background(), a, order{Do: "panic"})
		})
		return nil
	}()
	var panicked *traigo.PanicError
	err, ok := value.(error)
	require.True(t, ok, "%v", value)
	require.ErrorAs(t, err, &panicked)
	assert.Contains(t, panicked.Error(), "life: it panics")
	require.ErrorContains(t, callErr, "life: it panics")
	var remote *actor.Error
	require.ErrorAs(t, callErr, &remote)
}

// A proxy stands between both sides, and can stop to forward, or break.
type proxy struct {
	l      net.Listener
	to     string
	silent atomic.Bool
	mu     sync.Mutex
	conns  []net.Conn
	done   sync.WaitGroup
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{l: l, to: to}
	p.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			other, err := net.Dial("tcp", to)
			if err != nil {
				_ = conn.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, conn, other)
			p.mu.Unlock()
			p.done.Go(func() { p.forward(conn, other) })
			p.done.Go(func() { p.forward(other, conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.done.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) forward(from, to net.Conn) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			if !p.silent.Load() {
				_ = to.Close()
			}
			return
		}
		if p.silent.Load() {
			continue // and the connections stay
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

func TestConnectionThatBreaksIsAGoneErrorOnBothSides(t *testing.T) {
	leavesNothing(t)
	ca := newAuthority(t, "ca")
	addr, server := listening(t, ca.server("s"))
	p := newProxy(t, addr)
	dir := t.TempDir()
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a, err := actor.Dial(ctx, s, p.addr(), ca.client("c"))
		require.NoError(t, err)
		waiting := call(ctx, t, a, order{Do: "note", Name: dir + "/cause"})
		p.cut()
		_, err = waiting.wait(t)
		requireGone(t, err, a.ID())
		requireClosed(t, a.Done(), "the connection has ended")
		requireGone(t, a.Err(), a.ID())
		assert.Contains(t, fileSoon(t, dir+"/cause"), "has gone", "the function was canceled for that")
		require.NoError(t, server.Context().Err())
		_, err = do.Run(ctx, a, order{Do: "look"})
		requireGone(t, err, a.ID()) // it is not dialed again
	}))
}

// fileSoon returns the text of a file, when that is there.
func fileSoon(t *testing.T, path string) (text string) {
	t.Helper()
	require.Eventually(t, func() bool { text = fileNow(path); return text != "" }, soon, time.Millisecond, path)
	return text
}

// Whoever connects and says nothing holds nothing up.
func TestSilentStrangerDoesNotHoldUpTheEnd(t *testing.T) {
	leavesNothing(t)
	ca := newAuthority(t, "ca")
	addr, server := listening(t, ca.server("s"))
	var conns []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		conns = append(conns, conn)
	}
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		_, err := actor.Dial(ctx, s, addr, ca.client("c")) // is accepted after those
		require.NoError(t, err)
	}))
	began := time.Now()
	server.Cancel(nil)
	requireClosed(t, server.Done(), "it waits for strangers")
	assert.Less(t, time.Since(began), 10*time.Second)
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(soon))
		_, err := conn.Read(make([]byte, 1))
		require.Error(t, err)
		var late net.Error
		assert.False(t, errors.As(err, &late) && late.Timeout(), "its connection was closed")
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	leavesNothing(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // who accepts, and says nothing
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	ca := newAuthority(t, "ca")
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		short, cancel := context.WithTimeoutCause(ctx, 100*time.Millisecond, errLife)
		defer cancel()
		_, err := actor.Dial(short, s, l.Addr().String(), ca.client("c"))
		assert.Equal(t, errLife, err)
	}))
}

// What takes long by its nature, all at once.
func TestWhatTakesItsTime(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 30 s")
	}
	leavesNothing(t)
	var all sync.WaitGroup // t.Parallel would run as many as there are processors
	run := func(name string, f func(t *testing.T)) { all.Go(func() { t.Run(name, f) }) }
	run("a peer falls silent", func(t *testing.T) {
		ca := newAuthority(t, "ca")
		addr, server := listening(t, ca.server("s"))
		p := newProxy(t, addr)
		dir := t.TempDir()
		require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
			idle, err := actor.Dial(ctx, s, p.addr(), ca.client("c"))
			require.NoError(t, err)
			busy, err := actor.Dial(ctx, s, p.addr(), ca.client("c"))
			require.NoError(t, err)
			waiting := call(ctx, t, busy, order{Do: "note", Name: dir + "/cause"})
			began := time.Now()
			p.silent.Store(true)
			const bound = 25 * time.Second
			for _, a := range []*actor.Actor{idle, busy} {
				select {
				case <-a.Done():
				case <-time.After(2 * bound):
					require.Fail(t, "it is not noticed")
				}
				assert.Less(t, time.Since(began), bound+5*time.Second)
				requireGone(t, a.Err(), a.ID())
			}
			_, err = waiting.wait(t)
			requireGone(t, err, busy.ID())
			text := fileSoon(t, dir+"/cause")
			assert.Less(t, time.Since(began), bound+5*time.Second, "the other side has noticed as well")
			assert.Contains(t, text, "has gone")
			require.NoError(t, server.Context().Err())
		}))
	})
	run("a peer that is silent, but there, stays", func(t *testing.T) {
		ca := newAuthority(t, "ca")
		addr, _ := listening(t, ca.server("s"))
		require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
			a, err := actor.Dial(ctx, s, addr, ca.client("c"))
			require.NoError(t, err)
			select {
			case <-a.Done():
				assert.Fail(t, "its connection has ended", "%v", a.Err())
			case <-time.After(27 * time.Second):
			}
			_, err = do.Run(ctx, a, order{Do: "look"})
			require.NoError(t, err)
		}))
	})
	run("Dial of one that does not answer", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		ca := newAuthority(t, "ca")
		require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
			began := time.Now()
			_, err := actor.Dial(ctx, s, l.Addr().String(), ca.client("c"))
			var gone *actor.GoneError
			require.ErrorAs(t, err, &gone)
			assert.GreaterOrEqual(t, time.Since(began), 9*time.Second)
			assert.Less(t, time.Since(began), 15*time.Second)
		}))
	})
	run("a stranger that says nothing is sent away", func(t *testing.T) {
		ca := newAuthority(t, "ca")
		addr, _ := listening(t, ca.server("s"))
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		_ = conn.SetReadDeadline(time.Now().Add(29 * time.Second))
		_, err = conn.Read(make([]byte, 1))
		var late net.Error
		assert.False(t, errors.As(err, &late) && late.Timeout(), "its connection is still there")
	})
	run("Find of one that is stopped", func(t *testing.T) {
		require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
			a := startDoing(ctx, t, s, "stopped", actor.Findable())
			stop(t, a.ID().Pid)
			began := time.Now()
			_, err := actor.Find(ctx, s, "stopped")
			requireGone(t, err, a.ID())
			assert.GreaterOrEqual(t, time.Since(began), 9*time.Second)
			assert.Less(t, time.Since(began), 15*time.Second)
			a.Kill()
		}))
	})
	for _, how := range []string{"block", "stop"} {
		run("Start of one that does not begin: "+how, func(t *testing.T) {
			r := startRoot(t, order{Do: "late", Name: how})
			timeout := time.NewTimer(60 * time.Second)
			defer timeout.Stop()
			for {
				select {
				case line, ok := <-r.lines:
					require.True(t, ok, "%s", r.errs)
					rest, isIt := strings.CutPrefix(line, "late ")
					if !isIt {
						continue
					}
					var ms, children int
					var isGone bool
					_, err := fmt.Sscanf(rest, "%d %t %d", &ms, &isGone, &children)
					require.NoError(t, err)
					assert.InDelta(t, 30_000, ms, 5_000)
					assert.True(t, isGone, rest)
					assert.Zero(t, children, "it was reaped")
					assert.Contains(t, rest, `actor "root/late" has gone`)
					r.wait()
					return
				case <-timeout.C:
					require.Fail(t, "Start does not return")
				}
			}
		})
	}
	all.Wait()
}
