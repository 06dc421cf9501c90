package main

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/traigo/traigo"
)

// health reports the state of the server, for which it asks what the server depends on.
type health struct {
	healthpb.UnimplementedHealthServer

	probes map[string]probe
	log    *slog.Logger
}

type probe func(ctx context.Context) error

// Check runs the probe of one service, or without a name all probes at the same time. The
// first probe that fails cancels the others.
func (h *health) Check(ctx context.Context, req *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	asked := h.probes
	if name := req.GetService(); name != "" {
		ask, known := h.probes[name]
		if !known {
			return nil, status.Errorf(codes.NotFound, "no service %q", name)
		}
		asked = map[string]probe{name: ask}
	}
	err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		for name, ask := range asked {
			s.Spawn(ask, traigo.Name(name))
		}
		return nil
	}, traigo.Name("probes"))
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		h.log.Warn("not well", "err", err)
		return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}, nil
	default:
		return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
	}
}

// Watch streams for ever. A shutdown waits for all calls, so Watch returns when Stopping is
// closed, after a last message.
func (h *health) Watch(_ *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	ctx := stream.Context()
	if err := stream.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}); err != nil {
		return err
	}
	select {
	case <-traigo.Stopping(ctx):
		return stream.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING})
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
