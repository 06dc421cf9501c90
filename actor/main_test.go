package actor_test

import (
	"context"
	"errors"
	"iter"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

func TestMain(m *testing.M) {
	traigo.RegisterError(errBoom)
	actor.Serve()
	os.Exit(m.Run())
}

var errBoom = errors.New("boom")

var square = actor.Func("square", func(_ context.Context, n int) (int, error) { return n * n, nil })
var fail = actor.Func("fail", func(_ context.Context, n int) (int, error) { return 0, errBoom })
var block = actor.Func("block", func(ctx context.Context, n int) (int, error) {
	<-ctx.Done()
	return 0, context.Cause(ctx)
})
var panics = actor.Func("panics", func(ctx context.Context, n int) (int, error) { panic("oh no") })
var exit = actor.Func("exit", func(ctx context.Context, n int) (int, error) { println("leaving"); os.Exit(n); return 0, nil })
var count = actor.Source("count", func(ctx context.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		if n == 7 {
			yield(0, errBoom)
		}
	}
})
var echo = actor.Dialog("echo", func(ctx context.Context, in string, started actor.Started[string, string, string]) (int, error) {
	p, err := started("hello " + in)
	if err != nil {
		return 0, err
	}
	n := 0
	for s, err := range p.Items() {
		if err != nil {
			return n, err
		}
		if s == "fail" {
			return n, errBoom
		}
		if err := p.Send(s); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
})

func TestFirst(t *testing.T) {
	start := time.Now()
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		a, err := actor.Start(ctx, s, "mid", actor.Expose(square, fail, block, count, echo), actor.Findable())
		require.NoError(t, err)
		t.Log("started", time.Since(start), a.ID(), actor.Registrar())
		n, err := square.Run(ctx, a, 4)
		require.NoError(t, err)
		assert.Equal(t, 16, n)
		_, err = fail.Run(ctx, a, 4)
		assert.ErrorIs(t, err, errBoom)
		t.Log(err)
		_, err = panics.Run(ctx, a, 4)
		assert.ErrorIs(t, err, actor.ErrNotExposed)
		t.Log(err)
		c, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		_, err = block.Run(c, a, 4)
		cancel()
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		t.Log(err)
		sum := 0
		for i, err := range count.Run(ctx, a, 100) {
			require.NoError(t, err)
			sum += i
		}
		assert.Equal(t, 4950, sum)
		for i, err := range count.Run(ctx, a, 7) {
			t.Log(i, err)
		}
		for i, err := range count.Run(ctx, a, 1000000000) {
			require.NoError(t, err)
			if i == 1000 {
				break
			}
		}
		n, err = echo.Run(ctx, a, "you", func(ctx context.Context, first string, p *actor.Peer[string, string]) error {
			assert.Equal(t, "hello you", first)
			require.NoError(t, p.Send("a"))
			s, err := p.Recv()
			require.NoError(t, err)
			assert.Equal(t, "a", s)
			return p.Send("b")
		})
		require.NoError(t, err)
		assert.Equal(t, 2, n)
		n, err = echo.Run(ctx, a, "you", func(ctx context.Context, first string, p *actor.Peer[string, string]) error {
			require.NoError(t, p.Send("fail"))
			s, err := p.Recv()
			t.Log(s, err)
			return err
		})
		t.Log(n, err)
		assert.ErrorIs(t, err, errBoom)
		b, err := actor.Find(ctx, s, "mid")
		require.NoError(t, err)
		n, err = square.Run(ctx, b, 5)
		require.NoError(t, err)
		assert.Equal(t, 25, n)
		shot, err := actor.Snapshot(ctx, s)
		require.NoError(t, err)
		t.Log(shot)
		start = time.Now()
		return nil
	}, traigo.Name("test"))
	t.Log("ended", time.Since(start))
	require.NoError(t, err)
}

func TestSpawn(t *testing.T) {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		f := square.Spawn(s, 3)
		n, err := f.Await(ctx)
		require.NoError(t, err)
		assert.Equal(t, 9, n)
		return nil
	})
	require.NoError(t, err)
	for _, f := range []*actor.Function[int, int]{fail, panics, exit} {
		start := time.Now()
		err = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
			f.Spawn(s, 3)
			return nil
		})
		t.Log(time.Since(start), err)
		require.Error(t, err)
	}
	start := time.Now()
	err = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		block.Spawn(s, 3)
		return nil
	}, traigo.Timeout(300*time.Millisecond))
	t.Log(time.Since(start), err)
}
