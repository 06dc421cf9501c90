package temporal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

const maxSize = 2<<20 - 4<<10

// textOf returns a text of which the encoded form has n bytes.
func textOf(t *testing.T, n int) string {
	t.Helper()
	text := strings.Repeat("x", n)
	for range 3 {
		p, err := converter.GetDefaultDataConverter().ToPayload(text)
		require.NoError(t, err)
		text = strings.Repeat("x", len(text)-(proto.Size(p)-n))
	}
	p, err := converter.GetDefaultDataConverter().ToPayload(text)
	require.NoError(t, err)
	require.Equal(t, n, proto.Size(p))
	return text
}

func TestSizesAtTheLimit(t *testing.T) {
	t.Parallel()
	fits := textOf(t, maxSize)
	queue := queueOf(t)
	// The names are as long as the engine takes: they are beside the value.
	name := "all of it " + strings.Repeat("n", 900)
	all := temporal.Func(name, func(ctx context.Context, in string) (string, error) {
		a := temporal.Current(ctx)
		var saved string
		if a.Number == 1 {
			assert.NoError(t, a.Save(in))
			return "", errCall
		}
		found, err := a.Load(&saved)
		assert.NoError(t, err)
		assert.True(t, found)
		isSame := in == saved
		assert.True(t, isSame)
		return in, nil
	}, temporal.Retry(1))
	workHere(t, queue, all)
	e := connect(t)
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue)
		require.NoError(t, err)
		out, err := all.Run(ctx, r, fits)
		require.NoError(t, err)
		isSame := out == fits
		require.True(t, isSame)
		return nil
	}, traigo.Name(strings.Repeat("s", 900)))
	require.NoError(t, err)
}

func TestSizesOverTheLimit(t *testing.T) {
	t.Parallel()
	over := textOf(t, maxSize+1)
	queue := queueOf(t)
	var runs, fails atomic.Int32
	take := temporal.Func("take", func(context.Context, string) (int, error) { runs.Add(1); return 0, nil }, temporal.Retry(5))
	give := temporal.Func("give", func(context.Context, int) (string, error) { fails.Add(1); return over, nil }, temporal.Retry(5))
	save := temporal.Func("save", func(ctx context.Context, _ int) (string, error) {
		err := temporal.Current(ctx).Save(over)
		assert.ErrorIs(t, err, temporal.ErrTooLarge)
		found, loading := temporal.Current(ctx).Load(new(string))
		assert.NoError(t, loading)
		assert.False(t, found)
		return err.Error(), nil
	})
	workHere(t, queue, take, give, save)
	e := connect(t)
	require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		named := func(text, function string) {
			for _, part := range []string{function, fmt.Sprint(maxSize + 1), fmt.Sprint(maxSize)} {
				require.Contains(t, text, part)
			}
		}
		_, err := take.Run(ctx, r, over)
		require.ErrorIs(t, err, temporal.ErrTooLarge)
		named(err.Error(), "take")
		_, err = e.Client().DescribeWorkflowExecution(ctx, r.ID()+"/take-1", "")
		require.Error(t, err, "nothing has been sent")

		_, err = give.Run(ctx, r, 1)
		require.ErrorIs(t, err, temporal.ErrTooLarge)
		named(err.Error(), "give")

		text, err := save.Run(ctx, r, 1)
		require.NoError(t, err)
		named(text, "save")
		return nil
	}))
	require.Zero(t, runs.Load())
	require.EqualValues(t, 1, fails.Load(), "it is not tried again")
}

func TestErrorsAreCut(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	long := strings.Repeat("é", 100<<10)
	var deep func(n int, a, b, c, d, e, f, g, h int) int // so many arguments make a long line each
	deep = func(n int, a, b, c, d, e, f, g, h int) int {
		if n == 0 {
			panic(long)
		}
		return 1 + deep(n-1, ^a, ^b, ^c, ^d, ^e, ^f, ^g, ^h)
	}
	fail := temporal.Func("fail", func(_ context.Context, how string) (int, error) {
		switch how {
		case "panic":
			deep(200, 1, 2, 3, 4, 5, 6, 7, 8)
		case "many":
			var all []error
			for i := range 90 {
				all = append(all, fmt.Errorf("%d %w %s", i, errCancel, long))
			}
			return 0, errors.Join(all...)
		}
		return 0, errors.New(long)
	})
	workHere(t, queue, fail)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := fail.Run(ctx, r, "error")
		remote, ok := errors.AsType[*traigo.RemoteError](err)
		require.True(t, ok, "%v", err)
		require.LessOrEqual(t, len(remote.Msg), 64<<10)
		require.Greater(t, len(remote.Msg), 63<<10)

		_, err = fail.Run(ctx, r, "many")
		remote, ok = errors.AsType[*traigo.RemoteError](err)
		require.True(t, ok)
		require.NotErrorIs(t, err, temporal.ErrEngine)
		require.Equal(t, "*errors.joinError", remote.Type)
		require.LessOrEqual(t, len(remote.Msg), 64<<10)

		task := fail.Spawn(r, "panic", traigo.Bubble(false), traigo.Name("panics"))
		p, ok := errors.AsType[*traigo.PanicError](ended(t, task))
		require.True(t, ok)
		remote, ok = errors.AsType[*traigo.RemoteError](p)
		require.True(t, ok)
		require.LessOrEqual(t, len(remote.Stack), 16<<10)
		require.Greater(t, len(remote.Stack), 15<<10)
		require.LessOrEqual(t, len(remote.Msg), 64<<10)
		return nil
	}, traigo.PanicAsError()))
}

func TestSizesDoNotAddUp(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	echo := temporal.Func("echo", func(_ context.Context, in []byte) ([]byte, error) { return in, nil })
	workHere(t, queue, echo)
	const n = 41
	var same atomic.Int32
	require.NoError(t, owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		for i := range n {
			s.Spawn(func(ctx context.Context) error {
				in := bytes.Repeat([]byte{byte(i)}, 1<<20)
				out, err := echo.Run(ctx, r, in)
				if bytes.Equal(in, out) {
					same.Add(1)
				}
				return err
			})
		}
		return nil // they have the time that the test has: it is 82 MiB, a few times over
	}))
	require.EqualValues(t, n, same.Load())
}
