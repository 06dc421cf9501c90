package temporal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/converter"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"

	"github.com/traigo/traigo/temporal/internal/linked"
)

// An Engine is a connection to Temporal: to a cluster, to Temporal Cloud, or to the embedded
// server. See [Connect].
type Engine struct {
	client    client.Client
	values    converter.DataConverter // that of the client, which passes on sealed values
	address   string
	namespace string
	identity  string
	release   func() // of the embedded server

	answers answers

	starts *semaphore.Weighted // for tasks that are being started
	closed chan struct{}

	holding *semaphore.Weighted // for who starts the holder
	queue   string              // of the holder; set before a Remote is opened

	mu      sync.Mutex
	isOver  bool               // closed is closed
	remotes map[string]*Remote // whose lease is held here, by owner

	handedOver map[string]bool // owners that have left what they had to the next one
	holder     worker.Worker   // takes the activity of leases; nil until there is one
}

// connectTimeout is within what time the engine must answer.
const connectTimeout = 10 * time.Second

// A connection that died without a word, as behind a load balancer that has forgotten it, is found by
// pings and replaced. By the SDK's own figures that takes 45 s, and costs the lease; when a renewal
// falls due, 17 s are left of one of 30 s. The library for requests pings no sooner than after 10 s.
const (
	keepAliveTime    = 10 * time.Second
	keepAliveTimeout = 5 * time.Second
)

// reconnect is how a connection that is gone is replaced. The SDK waits for up to 10 s between two
// tries, which is most of what is left of a lease when a renewal falls due.
var reconnect = grpc.ConnectParams{
	Backoff:           grpcbackoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: connectTimeout,
}

// maxStarts is the number of tasks that are being started at once: a server to which hundreds
// are sent at the same moment answers none in time.
const maxStarts = 32

// Connect connects to the engine that the environment names, as Temporal's own tools do: by
// TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS and those that begin so,
// TEMPORAL_PROFILE and TEMPORAL_CONFIG_FILE. The functions in with then change what comes of
// that, such as the data converter or interceptors.
//
// Where no address is named, the embedded server is started in this process if package
// temporal/embedded is linked: one for all that connect, until the last Close. Its address is
// logged, for other processes.
//
// The error wraps [ErrEngine] if there is no engine, or if it has not answered within 10 s or
// until ctx is done, or has no such namespace. Where nothing listens it is returned at once: to wait
// for an engine that is to come, call Connect again. Connect panics if ctx or a function is nil.
func Connect(ctx context.Context, with ...func(*client.Options)) (*Engine, error) {
	if ctx == nil {
		panic("traigo: temporal.Connect: the context is nil")
	}
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{})
	if err != nil {
		return nil, fmt.Errorf("%w: the configuration of Temporal in the environment: %w", ErrEngine, err)
	}
	options, err := profile.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err != nil {
		return nil, fmt.Errorf("%w: the configuration of Temporal in the environment: %w", ErrEngine, err)
	}
	for _, change := range with {
		if change == nil {
			panic("traigo: temporal.Connect: a function that is to change the options is nil")
		}
		change(&options)
	}
	e := &Engine{
		release: func() {}, holding: semaphore.NewWeighted(1), starts: semaphore.NewWeighted(maxStarts), closed: make(chan struct{}), remotes: map[string]*Remote{}, handedOver: map[string]bool{},
	}
	if options.HostPort == "" {
		server, err := startEmbedded()
		if err != nil {
			return nil, err
		}
		e.release = releaseEmbedded
		options.HostPort = server.Address()
		if options.Namespace == "" {
			options.Namespace = server.Namespace()
		}
	}
	if err := e.dial(ctx, options); err != nil {
		e.release()
		return nil, err
	}
	return e, nil
}

func (e *Engine) dial(ctx context.Context, options client.Options) error {
	e.complete(&options)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c, err := client.DialContext(ctx, options)
	if err == nil {
		e.client = c
		if err = e.ask(ctx); err == nil {
			return nil
		}
		c.Close()
	}
	return fmt.Errorf("%w at %s, namespace %q: %w", ErrEngine, e.address, e.namespace, err)
}

// complete sets what was left open, and takes down what the engine is to know of the options.
func (e *Engine) complete(o *client.Options) {
	if o.Namespace == "" {
		o.Namespace = client.DefaultNamespace
	}
	if o.Identity == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "localhost"
		}
		o.Identity = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	if o.Logger == nil {
		o.Logger = sdklog.NewStructuredLogger(slog.New(warnings{}))
	}
	if o.PayloadLimits.PayloadSizeWarning == 0 {
		o.PayloadLimits.PayloadSizeWarning = maxMessage // a smaller value is nothing to warn of
	}
	if o.ConnectionOptions.GetSystemInfoTimeout == 0 {
		o.ConnectionOptions.GetSystemInfoTimeout = connectTimeout
	}
	if o.ConnectionOptions.KeepAliveTime == 0 {
		o.ConnectionOptions.KeepAliveTime = keepAliveTime
	}
	if o.ConnectionOptions.KeepAliveTimeout == 0 {
		o.ConnectionOptions.KeepAliveTimeout = keepAliveTimeout
	}
	o.ConnectionOptions.DialOptions = slices.Concat(
		[]grpc.DialOption{grpc.WithConnectParams(reconnect)}, // which those of the user may change
		o.ConnectionOptions.DialOptions,
		[]grpc.DialOption{grpc.WithChainUnaryInterceptor(e.answers.intercept)},
	)
	isDefault := o.DataConverter == nil || o.DataConverter == converter.GetDefaultDataConverter()
	if o.DataConverter == nil {
		o.DataConverter = converter.GetDefaultDataConverter()
	}
	o.DataConverter = passing{o.DataConverter}
	if o.FailureConverter == nil {
		o.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
			DataConverter: o.DataConverter, EncodeCommonAttributes: !isDefault,
		})
	}
	e.values, e.address, e.namespace, e.identity = o.DataConverter, o.HostPort, o.Namespace, o.Identity
}

// Close closes the connection. A [Remote] that is still open loses its lease, so an engine is
// closed after the scopes that use it. To close it again has no effect.
func (e *Engine) Close() {
	e.mu.Lock()
	if e.isOver {
		e.mu.Unlock()
		return
	}
	e.isOver = true
	close(e.closed)
	holder := e.holder
	e.mu.Unlock()
	if holder != nil {
		holder.Stop()
	}
	e.client.Close()
	e.release()
}

// Address returns the host and port of the engine: what TEMPORAL_ADDRESS is to be in other
// processes.
func (e *Engine) Address() string { return e.address }

// Namespace returns the namespace in which the engine runs what it is given.
func (e *Engine) Namespace() string { return e.namespace }

// Client returns the SDK's client, for all that is not here. It is closed by [Engine.Close].
func (e *Engine) Client() client.Client { return e.client }

// service is for requests that the client has no method for.
func (e *Engine) service() workflowservice.WorkflowServiceClient { return e.client.WorkflowService() }

var errClosed = errors.New("the engine was closed")

// lease makes this process a place where the lease of r can be held.
func (e *Engine) lease(r *Remote) error {
	ctx, cancel := context.WithTimeout(r.scope.Context(), r.lease)
	defer cancel()
	if err := e.hasHolder(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isOver {
		return fmt.Errorf("%w: %w", ErrEngine, errClosed)
	}
	e.remotes[r.owner] = r
	return nil
}

// hasHolder starts the worker that takes the activity of leases, unless there is one.
func (e *Engine) hasHolder(ctx context.Context) error {
	if err := e.holding.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("%w at %s: %w", ErrEngine, e.address, context.Cause(ctx))
	}
	defer e.holding.Release(1)
	if e.queue != "" {
		return nil
	}
	queue := "traigo.owner-" + rand.Text()
	holder, err := e.startWorker(ctx, func() worker.Worker {
		holder := worker.New(e.client, queue, worker.Options{
			Identity: e.identity, DisableWorkflowWorker: true, MaxConcurrentActivityTaskPollers: 1,
		})
		holder.RegisterActivityWithOptions(e.hold, activity.RegisterOptions{Name: holdType})
		return holder
	})
	if err != nil {
		return err
	}
	e.queue = queue
	e.mu.Lock()
	e.holder = holder
	isOver := e.isOver
	e.mu.Unlock()
	if isOver {
		holder.Stop()
	}
	return nil
}

// startWorker starts a worker of the SDK. That one fails if the engine is away at that moment, while
// later on it waits for it. So it is waited for here, until ctx is done.
func (e *Engine) startWorker(ctx context.Context, build func() worker.Worker) (worker.Worker, error) {
	for isTold := false; ; {
		err := e.ask(ctx)
		if err == nil {
			w := build() // one that has failed to start cannot be started again
			if err = w.Start(); err == nil {
				return w, nil
			}
		}
		if ctx.Err() != nil || isRefusal(err) || e.isClosed() {
			return nil, fmt.Errorf("%w at %s, namespace %q: %w", ErrEngine, e.address, e.namespace, err)
		}
		if !isTold && !e.isClosed() {
			isTold = true
			slog.Warn("traigo: the Temporal engine does not answer, and is waited for", "address", e.address, "error", err)
		}
		pause(ctx, retryDelay)
	}
}

func (e *Engine) isClosed() bool { return isDone(e.closed) }

// isDone reports whether a channel is closed.
func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// ask returns nil if the engine answers.
func (e *Engine) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, err := e.service().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: e.namespace})
	return err
}

// handOver lets the lease of r be held once more, should the engine ask for that later.
func (e *Engine) handOver(r *Remote) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.handedOver[r.owner] = true
}

func (e *Engine) unlease(r *Remote) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.remotes, r.owner)
}

// embedded is the server in this process, and how many engines use it.
var embedded struct {
	sync.Mutex
	server linked.Server
	users  int
}

func startEmbedded() (linked.Server, error) {
	if linked.Start == nil {
		return nil, fmt.Errorf("%w: set TEMPORAL_ADDRESS to the host:port of one, or import _ \"github.com/traigo/traigo/temporal/embedded\" for a server in this process", ErrEngine)
	}
	embedded.Lock()
	defer embedded.Unlock()
	if embedded.server == nil {
		server, err := linked.Start()
		if err != nil {
			return nil, fmt.Errorf("%w: the embedded server does not start: %w", ErrEngine, err)
		}
		embedded.server = server
		slog.Info("traigo: the embedded Temporal server runs in this process; for other processes, set TEMPORAL_ADDRESS", "address", server.Address())
	}
	embedded.users++
	return embedded.server, nil
}

func releaseEmbedded() {
	embedded.Lock()
	defer embedded.Unlock()
	if embedded.users--; embedded.users == 0 {
		embedded.server.Stop()
		embedded.server = nil
	}
}
