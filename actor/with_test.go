//go:build linux

package actor_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

var errInner = errors.New("the inner scope fails")

// impatient receives in an inner scope, which fails, and goes on with the dialog after that.
var impatient = actor.Dialog("impatient", func(ctx context.Context, _ struct{}, started actor.Started[string, string, string]) (string, error) {
	peer, err := started("")
	if err != nil {
		return "", err
	}
	err = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			_, err := peer.With(ctx).Recv()
			return err
		}, traigo.Awaited(false))
		return errInner
	})
	if !errors.Is(err, errInner) {
		return "", err
	}
	if err := peer.Send("go on"); err != nil {
		return "", err
	}
	first, err := peer.Recv() // what the task was waiting for
	if err != nil {
		return "", err
	}
	second, err := peer.Recv()
	return first + second, err
})

func TestPeerWithEndsWhatWaitsAndLosesNoItem(t *testing.T) {
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		a, err := actor.Start(ctx, s, "a", actor.Expose(impatient))
		require.NoError(t, err)
		all, err := impatient.Run(ctx, a, struct{}{}, func(ctx context.Context, _ string, p *actor.Peer[string, string]) error {
			canceled, cancel := context.WithCancelCause(ctx)
			cancel(errInner)
			_, err := p.With(canceled).Recv()
			assert.ErrorIs(t, err, errInner)
			assert.ErrorIs(t, p.With(canceled).Send("never"), errInner)
			text, err := p.Recv()
			assert.NoError(t, err)
			assert.Equal(t, "go on", text)
			assert.Panics(t, func() { p.With(nil) }) //nolint:staticcheck // it is what is tested
			return errors.Join(p.Send("one"), p.Send("two"))
		})
		assert.Equal(t, "onetwo", all)
		return err
	})
	require.NoError(t, err)
}

// A Send that waits since nobody reads ends with the context that it was given.
func TestPeerWithEndsASendThatBlocks(t *testing.T) {
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		a, err := actor.Start(ctx, s, "a", actor.Expose(deaf))
		require.NoError(t, err)
		_, err = deaf.Run(ctx, a, struct{}{}, func(ctx context.Context, _ string, p *actor.Peer[[]byte, string]) error {
			sending, cancel := context.WithCancelCause(ctx)
			var sent atomic.Int32
			blocked := traigo.Async(traigo.Current(ctx), func(context.Context) (int, error) {
				for {
					if err := p.With(sending).Send(make([]byte, 1<<20)); err != nil {
						return 0, err
					}
					sent.Add(1)
				}
			})
			for last := int32(-1); sent.Load() != last; { // until it stands
				last = sent.Load()
				assert.NoError(t, traigo.Sleep(ctx, 200*time.Millisecond))
			}
			assert.LessOrEqual(t, sent.Load(), int32(5), "4 MiB are under way, and one message")
			cancel(errInner)
			_, err := blocked.Await(ctx)
			assert.ErrorIs(t, err, errInner)
			return errInner
		})
		assert.ErrorIs(t, err, errInner)
		return nil
	})
	require.NoError(t, err)
}

// deaf does not read.
var deaf = actor.Dialog("deaf", func(ctx context.Context, _ struct{}, started actor.Started[string, string, []byte]) (int, error) {
	if _, err := started(""); err != nil {
		return 0, err
	}
	<-ctx.Done()
	return 0, context.Cause(ctx)
})
