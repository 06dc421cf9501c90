package record_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// nested runs a scope with two tasks, one of which runs the next scope. In the innermost one
// a task fails.
func nested(ctx context.Context, level, levels int, wrap func(level int, err error) error, opts ...traigo.ScopeOption) error {
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }, traigo.Name("watch"))
		s.Spawn(func(ctx context.Context) error {
			if level == levels {
				return errors.New("bottom reached")
			}
			return wrap(level, nested(ctx, level+1, levels, wrap))
		}, traigo.Name(fmt.Sprintf("task %03d", level)))
		return nil
	}, append(opts, traigo.Name(fmt.Sprintf("level %03d of the program", level)))...)
}

// A log grows with the number of levels of a program, however their errors are wrapped.
func TestALogOfDeepNestingGrowsLinearly(t *testing.T) {
	for name, wrap := range map[string]func(int, error) error{
		"as they are": func(_ int, err error) error { return err },
		"wrapped":     func(level int, err error) error { return fmt.Errorf("of level %03d: %w", level, err) },
		"joined":      func(_ int, err error) error { return errors.Join(err, nil) },
	} {
		var perLevel []float64
		for _, levels := range []int{30, 60, 120} {
			synctest.Test(t, func(t *testing.T) {
				var out memory
				rec := record.New(&out)
				require.ErrorContains(t, nested(context.Background(), 1, levels, wrap, traigo.Observe(rec)), "bottom reached")
				require.NoError(t, rec.Close())
				perLevel = append(perLevel, float64(len(out.log()))/float64(levels))

				h := read(t, out.log())
				assert.Zero(t, h.Damaged)
				require.Len(t, h.Scopes, levels)
				deepest := h.Scopes[levels-1]
				assert.Equal(t, "bottom reached", deepest.Cause.Err)
				for _, s := range h.Scopes {
					assert.True(t, strings.HasSuffix(s.Cause.Err, "bottom reached"), s.Cause.Err)
					assert.LessOrEqual(t, len(s.Cause.Err), 512)
					assert.LessOrEqual(t, len(s.Err), 512)
				}
			})
		}
		t.Logf("%s: %.0f bytes per level", name, perLevel)
		assert.InEpsilon(t, perLevel[0], perLevel[1], 0.15, name)
		assert.InEpsilon(t, perLevel[1], perLevel[2], 0.1, name)
	}
}

// What is in no other line is kept, and what is not passed on.
func TestErrorsThatAreNotPassedOnAreKept(t *testing.T) {
	long := strings.Repeat("日本語 ", 300)
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { return errors.New(long) }, traigo.Name("first"))
			<-ctx.Done()
			return errors.New("body: " + long)
		}, traigo.Observe(rec))
		require.Error(t, err)
		require.NoError(t, rec.Close())
		s := read(t, out.log()).Scopes[0]
		assert.Equal(t, long, s.Tasks[0].Err)
		assert.Equal(t, long, s.Cause.Err)
		assert.Contains(t, s.Err, "; also: body: 日本語", "no other line has it")
	})
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { return errors.New(long) })
			return nil
		}, traigo.Observe(rec))
		require.Error(t, err)
		require.NoError(t, rec.Close())
		require.True(t, utf8.Valid(out.log()))
		s := read(t, out.log()).Scopes[0]
		begin, rest, cut := strings.Cut(s.Err, "… (")
		require.True(t, cut)
		var missing int
		_, scanned := fmt.Sscanf(rest, "%d bytes more) …", &missing)
		require.NoError(t, scanned)
		_, end, _ := strings.Cut(rest, " …")
		assert.Equal(t, len(err.Error()), len(begin)+missing+len(end))
		assert.True(t, strings.HasPrefix(err.Error(), begin) && strings.HasSuffix(err.Error(), end), s.Err)
	})
}

// An error may wrap itself, and its methods may panic.
func TestErrorsOfAnyKindAreSummarized(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		s := traigo.New(context.Background(), traigo.Observe(rec))
		circle := &wrapping{}
		circle.err = circle
		for i, err := range []error{circle, &wrapping{panics: true}, &wrapping{}} {
			s.Spawn(func(context.Context) error { return err }, traigo.Bubble(false), traigo.Name(fmt.Sprint(i)))
		}
		synctest.Wait()
		_ = s.Close()
		require.NoError(t, rec.Close())
		for _, task := range read(t, out.log()).Scopes[0].Tasks {
			assert.Len(t, task.Err, 600, task.Name)
		}
	})
}

// wrapping is an error with a long text.
type wrapping struct {
	err    error
	panics bool
}

func (w *wrapping) Error() string { return strings.Repeat("x", 600) }

func (w *wrapping) Unwrap() error {
	if w.panics {
		panic("foreign")
	}
	return w.err
}
