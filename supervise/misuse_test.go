package supervise_test

import (
	"context"
	"strings"
	"testing"

	"github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

func TestMisusePanicsAtTheCall(t *testing.T) {
	succeed := func(context.Context) error { return nil }
	ctx := t.Context()
	rows := []struct {
		name string
		call func()
		text string
	}{
		{"Restart without a function", func() { supervise.Restart(nil) }, "supervise.Restart: nil function"},
		{"Restart with a nil option", func() { supervise.Restart(succeed, nil) }, "supervise.Restart: nil option"},
		{"When", func() { supervise.When(3) }, "supervise.When(3)"},
		{"Backoff", func() { supervise.Backoff(nil) }, "supervise.Backoff: nil function"},
		{"Backoff that makes none", func() {
			_ = supervise.Restart(func(context.Context) error { return errBoom }, quiet(),
				supervise.Backoff(func() backoff.BackOff { return nil }))(ctx)
		}, "supervise.Backoff: nil policy"},
		{"ResetAfter", func() { supervise.ResetAfter(0) }, "supervise.ResetAfter"},
		{"Intensity of none", func() { supervise.Intensity(0, 1) }, "supervise.Intensity(0"},
		{"Intensity without a window", func() { supervise.Intensity(1, 0) }, "supervise.Intensity"},
		{"Intensity with a negative window", func() { supervise.Intensity(1, -1) }, "supervise.Intensity"},
		{"OnRestart", func() { supervise.OnRestart(nil) }, "supervise.OnRestart: nil function"},
		{"Logger", func() { supervise.Logger(nil) }, "supervise.Logger: nil *slog.Logger"},
		{"Run without a body", func() { _ = supervise.Run(ctx, nil) }, "supervise.Run: nil function"},
		{"Run with a nil option", func() {
			_ = supervise.Run(ctx, func(context.Context, *supervise.Siblings) error { return nil }, nil)
		}, "nil option"},
		{"sibling without a function", func() {
			_ = supervise.Run(ctx, func(_ context.Context, s *supervise.Siblings) error { s.Spawn(nil); return nil })
		}, "supervise.Siblings.Spawn: nil function"},
		{"sibling with a nil option", func() {
			_ = supervise.Run(ctx, func(_ context.Context, s *supervise.Siblings) error { s.Spawn(succeed, nil); return nil })
		}, "nil option"},
		{"WithServices without a body", func() { _ = supervise.WithServices(ctx, nil) }, "supervise.WithServices: nil function"},
		{"WithServices with a nil option", func() {
			_ = supervise.WithServices(ctx, func(context.Context, *traigo.Scope, *supervise.Services) error { return nil }, nil)
		}, "nil option"},
		{"service without a function", func() {
			_ = supervise.WithServices(ctx, func(_ context.Context, _ *traigo.Scope, s *supervise.Services) error {
				s.Spawn(nil)
				return nil
			})
		}, "supervise.Services.Spawn: nil function"},
		{"service without a function to start", func() {
			_ = supervise.WithServices(ctx, func(ctx context.Context, _ *traigo.Scope, s *supervise.Services) error {
				_, err := s.Start(ctx, nil)
				return err
			})
		}, "supervise.Services.Start: nil function"},
		{"service with a nil option", func() {
			_ = supervise.WithServices(ctx, func(_ context.Context, _ *traigo.Scope, s *supervise.Services) error {
				s.Spawn(succeed, nil)
				return nil
			})
		}, "nil option"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			text, ok := raised(t, row.call).(string)
			require.True(t, ok)
			assert.True(t, strings.HasPrefix(text, "traigo: "), text)
			assert.Contains(t, text, row.text)
		})
	}
}
