package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// namesOf records the paths of the scopes that are closed.
type namesOf struct {
	mu    sync.Mutex
	paths []string
}

func (n *namesOf) Observe(e traigo.Event) {
	if e.Kind == traigo.ScopeClosed {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.paths = append(n.paths, e.Scope.Path())
	}
}

func (n *namesOf) count(pattern string) (found int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.paths {
		if regexp.MustCompile(pattern).MatchString(p) {
			found++
		}
	}
	return found
}

// See docs/adr/0023.
func TestObserversLearnHowWorkersHaveEnded(t *testing.T) {
	noneLeft(t)
	seen := new(namesOf)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		proc.Open(s, proc.Limit(1), proc.KillAfter(0))
		_, err := crash.Run(ctx, "")
		require.Error(t, err)
		_, err = stuck.Async(s, "", traigo.Timeout(50*time.Millisecond)).Await(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for range 2 {
			_, err = words.Run(ctx, "two words")
			require.NoError(t, err)
		}
		return nil
	}, traigo.Name("prog"), traigo.Observe(seen)))

	for pattern, want := range map[string]int{
		`^prog/pool$`:       1,
		`^prog/pool/start$`: 3,
		`^prog/pool/exit status 3 after 0 calls, peak [1-9]\d* MiB$`:  1,
		`^prog/pool/signal: killed after 0 calls, peak [1-9]\d* MiB$`: 1,
		`^prog/pool/exit status 0 after 2 calls, peak [1-9]\d* MiB$`:  1,
		`^prog/words\[\d+\]$`: 2,
		`^prog/crash\[\d+\]$`: 1,
		`^prog/stuck\[\d+\]$`: 1,
	} {
		assert.Equal(t, want, seen.count(pattern), "%s in\n%s", pattern, strings.Join(seen.paths, "\n"))
	}
}

// A permissiveError says of every error that it is that.
type permissiveError struct{ Text string }

func (e *permissiveError) Error() string { return e.Text }
func (*permissiveError) Is(error) bool   { return true }

// A picky can be encoded, but some of its values cannot be decoded.
type picky struct{ N int }

func (p picky) GobEncode() ([]byte, error) { return []byte{byte(p.N)}, nil }

func (p *picky) GobDecode(data []byte) error {
	if p.N = int(data[0]); p.N == 2 {
		return errors.New("not 2")
	}
	return nil
}

func init() { traigo.RegisterErrorType[*permissiveError]() } //nolint:gochecknoinits // so that it is known in every process

var (
	permissive = proc.Func("worker.permissive", func(_ context.Context, file string) (int, error) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, err
		}
		defer func() { _ = f.Close() }()
		_, _ = f.WriteString("x")
		return 0, &permissiveError{"anything"}
	})
	ownCancellation = proc.Func("worker.own cancellation", func(_ context.Context, _ string) (int, error) {
		err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
			return traigo.Run(ctx, func(context.Context, *traigo.Scope) error {
				s.Cancel(errEmpty)
				return nil
			})
		})
		c, _ := errors.AsType[*traigo.Error](err)
		inner := &traigo.Cancellation{Kind: traigo.ParentCanceled, Scope: "mine", Err: c.Err}
		return 0, inner
	})
	far = proc.Func("worker.deadline", func(ctx context.Context, _ string) (bool, error) {
		d, ok := ctx.Deadline()
		return ok && d.Before(time.Now()), nil
	})
	noisy = proc.Func("worker.noisy", func(_ context.Context, text string) (int, error) {
		fmt.Fprintln(os.Stderr, text)
		return 0, nil
	})
	pickies = proc.Source("worker.pickies", func(_ context.Context, n int) iter.Seq2[picky, error] {
		return func(yield func(picky, error) bool) {
			for i := range n {
				if !yield(picky{i}, nil) {
					return
				}
			}
		}
	})
)

// A job is run once, whatever its error claims to be.
func TestErrorThatIsEveryErrorDoesNotRunItsJobAgain(t *testing.T) {
	noneLeft(t)
	file := filepath.Join(t.TempDir(), "runs")
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		_, _ = words.Run(ctx, "warm")
		_, err := permissive.Run(ctx, file)
		assert.EqualError(t, err, "anything")
		runs, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, "x", string(runs))
	})
}

func TestCancellationThatIsNotThatOfTheCallIsAnError(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		_, err := ownCancellation.Run(ctx, "")
		require.Error(t, err)
		c, ok := errors.AsType[*traigo.Cancellation](err)
		require.True(t, ok, "%T", err)
		assert.Equal(t, "mine", c.Scope)
	})
}

func TestFarDeadlineIsNotInThePast(t *testing.T) {
	noneLeft(t)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error { // which has no other deadline
		isPast, err := far.Async(s, "", traigo.Timeout(math.MaxInt64)).Await(ctx)
		assert.False(t, isPast)
		return err
	}))
}

// What an earlier job has written does not explain the end of a later one.
func TestLastWordsOfAnEarlierJobExplainNothing(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		_, err := noisy.Run(ctx, "panic: recovered long ago")
		require.NoError(t, err)
		_, err = crash.Run(ctx, "")
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "long ago")
	}, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = io.Discard }))
}

func TestItemThatCannotBeDecodedEndsTheSequence(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		var got []int
		var last error
		for v, err := range pickies.Run(ctx, 1000) {
			if last = err; err == nil {
				got = append(got, v.N)
			}
		}
		assert.Equal(t, []int{0, 1}, got)
		require.Error(t, last)
		assert.Contains(t, last.Error(), `"worker.pickies" cannot be decoded: not 2`)

		n, err := words.Run(ctx, "the worker goes on")
		require.NoError(t, err)
		assert.Equal(t, 4, n)
		assert.EqualValues(t, 1, p.Stats().Started)
	})
}

func TestLaunchHasNoOptionsOfAPool(t *testing.T) {
	for name, o := range map[string]proc.Option{
		"Limit": proc.Limit(1), "IdleTimeout": proc.IdleTimeout(time.Second), "Init": proc.Init(words, ""),
		"Retire": proc.Retire(func(proc.Worker) bool { return true }),
	} {
		assert.Panics(t, func() { _, _ = proc.Launch(t.Context(), "none", o) }, name)
	}
}
