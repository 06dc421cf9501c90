package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/traigo/traigo"
)

// open answers calls on ln until the scope is shut down or canceled:
//
//	server                            tasks "serve", "drain", and one for each call
//	└ grpc.health.v1.Health/Check     the tasks that a call spawns
func open(scope *traigo.Scope, ln net.Listener, service healthpb.HealthServer, log *slog.Logger) {
	c := calls{scope, log}
	srv := grpc.NewServer(grpc.UnaryInterceptor(c.unary), grpc.StreamInterceptor(c.stream),
		grpc.ConnectionTimeout(5*time.Second)) // even Stop waits for a client that has connected and sends nothing
	healthpb.RegisterHealthServer(srv, service)

	scope.Spawn(func(context.Context) error {
		if err := srv.Serve(ln); !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil // Stop has come before Serve
	}, traigo.Name("serve"))
	scope.Spawn(func(ctx context.Context) error {
		<-traigo.Stopping(ctx) // closed by the first signal, and when the scope is canceled
		log.Info("shutting down")
		// GracefulStop takes no context, but Stop makes it return. ctx is done when the
		// grace period is over.
		defer context.AfterFunc(ctx, srv.Stop)()
		srv.GracefulStop()
		return nil
	}, traigo.Name("drain"))
}

// calls makes the calls of a gRPC server tasks of a scope. It uses interceptors, since a
// gRPC server has no base context that could carry the scope.
type calls struct {
	scope *traigo.Scope
	log   *slog.Logger
}

func (c calls) unary(rpc context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	var resp any
	err := c.run(rpc, info.FullMethod, func(ctx context.Context) (err error) {
		resp, err = handle(ctx, req)
		return err
	})
	return resp, err
}

func (c calls) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	return c.run(stream.Context(), info.FullMethod, func(ctx context.Context) error {
		return handle(service, scoped{stream, ctx})
	})
}

type scoped struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream passes the context to its handler in this way
}

func (s scoped) Context() context.Context { return s.ctx }

// run runs one call as a task of the server's scope. The handler has a scope of its own for
// the tasks that it spawns. The task has the values of the RPC's context, and is canceled
// when that ends.
func (c calls) run(rpc context.Context, method string, handle func(ctx context.Context) error) error {
	name := strings.TrimPrefix(method, "/")
	task, ok := c.scope.TrySpawn(func(ctx context.Context) error {
		if at, ok := rpc.Deadline(); ok { // for the calls that the handler makes itself
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, at)
			defer cancel()
		}
		return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return handle(ctx) }, traigo.Name(name))
	}, traigo.Name(name), traigo.Values(rpc), traigo.Bubble(false)) // the error belongs to the client
	if !ok {
		return status.Error(codes.Unavailable, "the server has stopped")
	}
	defer context.AfterFunc(rpc, func() { task.Cancel(context.Cause(rpc)) })()
	<-task.Done() // always: the handler must not use the stream after run has returned
	return c.status(name, task.Err())
}

// status returns the error for the client: the status that a handler or one of its tasks
// has returned, if there is one. Names of scopes and stacks only go to the log.
func (c calls) status(name string, err error) error {
	if err == nil {
		return nil
	}
	c.log.Warn("call failed", "call", name, "err", err)
	var own interface{ GRPCStatus() *status.Status }
	switch cutOff := context.Cause(c.scope.Context()); {
	case cutOff != nil:
		return status.Error(codes.Unavailable, "the server has stopped")
	case errors.As(err, &own):
		return own.GRPCStatus().Err()
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "too slow")
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "canceled")
	default:
		return status.Error(codes.Internal, "internal error")
	}
}
