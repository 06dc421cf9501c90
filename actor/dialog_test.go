//go:build linux

package actor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// Dialogs: A18 to A20.

type numbers = actor.Peer[int, int]

var errMine = errors.New("an error of the body")

// A script is what the function of a dialog does. It notes what it sees under the Key.
type script struct {
	Key  string
	Does string
	N    int
}

// play is one function for all tests, so that what it does stands beside them.
var play = exposed(actor.Dialog("dialog.play", func(ctx context.Context, s script, begin actor.Started[string, int, int]) (out string, err error) {
	defer func() { note(s.Key, fmt.Sprintf("returns %v", err)) }()
	if f := plays[s.Does]; f != nil {
		return f(ctx, s, begin)
	}
	return "", fmt.Errorf("there is no script %q", s.Does)
}))

type playing = func(ctx context.Context, s script, begin actor.Started[string, int, int]) (string, error)

var plays map[string]playing

func init() { // they refer to play
	plays = map[string]playing{
		"returns before": func(context.Context, script, actor.Started[string, int, int]) (string, error) { return "early", nil },
		"fails before": func(context.Context, script, actor.Started[string, int, int]) (string, error) {
			return "early", errBoom
		},
		"blocks before":        playBlocksBefore,
		"starts twice":         playStartsTwice,
		"starts at once often": playStartsOften,
		"reads all":            playReadsAll,
		"sends N":              playSendsN,
		"sends N, fails":       playSendsNAndFails,
		"reads, then sends N":  playReadsThenSends,
		"fails after reading":  playFailsAfterReading,
		"waits, fails also":    playWaitsAndFailsAlso,
		"closes, then reads":   playClosesThenReads,
		"closes, then sends":   playClosesThenSends,
		"reads after the end":  playReadsAfterTheEnd,
		"waits":                playWaits,
		"leaves a sender":      playLeavesASender,
		"leaves the start":     playLeavesTheStart,
		"echoes at once":       playEchoesAtOnce,
		"huge first":           playHugeFirst,
	}
}

func playBlocksBefore(ctx context.Context, s script, _ actor.Started[string, int, int]) (string, error) {
	note(s.Key, "begins")
	<-ctx.Done()
	return "", context.Cause(ctx)
}

func playStartsTwice(_ context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	if _, err := begin("first"); err != nil {
		return "", err
	}
	p, err := begin("second")
	if err == nil || p != nil {
		return "", errors.New("a second call of started is none")
	}
	return err.Error(), nil
}

func playStartsOften(_ context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	var n atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := begin("first"); err == nil {
				n.Add(1)
			}
		})
	}
	all.Wait()
	return fmt.Sprint(n.Load()), nil
}

func playReadsAll(_ context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	p, err := begin("")
	if err != nil {
		return "", err
	}
	sum, n := 0, 0
	for i, err := range p.Items() {
		if err != nil {
			return "", err
		}
		sum += i
		n++
	}
	return fmt.Sprintf("%d of sum %d", n, sum), nil
}

func playSendsN(_ context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	p, err := begin("")
	for i := 0; i < s.N && err == nil; i++ {
		err = p.Send(i)
	}
	note(s.Key, "has sent")
	return "sent", err
}

func playSendsNAndFails(ctx context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	if out, err := playSendsN(ctx, s, begin); err != nil {
		return out, err
	}
	return "", errBoom
}

func playReadsThenSends(_ context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	p, err := begin("")
	if err == nil && s.Key != "" {
		err = p.Send(-1)
		note(s.Key, "has sent one")
	}
	for err == nil {
		_, err = p.Recv()
	}
	if err != io.EOF {
		return "", err
	}
	note(s.Key, "has read all")
	for i := range s.N {
		if err := p.Send(i); err != nil {
			return "", err
		}
	}
	return "has sent all", nil
}

func playFailsAfterReading(_ context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	p, err := begin("")
	for err == nil {
		_, err = p.Recv()
	}
	if err != io.EOF {
		return "", err
	}
	return "", errBoom
}

func playWaitsAndFailsAlso(ctx context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	if _, err := begin(""); err != nil {
		return "", err
	}
	<-ctx.Done()
	note(s.Key, context.Cause(ctx).Error())
	return "", errors.Join(context.Cause(ctx), errBoom)
}

func playClosesThenReads(_ context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	p, err := begin("")
	if err == nil {
		err = p.CloseSend()
	}
	if err == nil {
		err = p.CloseSend()
	}
	n := 0
	for err == nil {
		if _, err = p.Recv(); err == nil {
			n++
		}
	}
	if err == io.EOF {
		err = nil
	}
	return fmt.Sprintf("read %d", n), err
}

func playClosesThenSends(_ context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	p, err := begin("")
	if err != nil {
		return "", err
	}
	if err := p.CloseSend(); err != nil {
		return "", err
	}
	return fmt.Sprint(p.Send(1)), nil
}

func playReadsAfterTheEnd(_ context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	p, err := begin("")
	if err != nil {
		return "", err
	}
	n := 0
	for _, err := range p.Items() {
		if err != nil {
			return "", err
		}
		n++
	}
	for range 3 {
		if _, err := p.Recv(); err != io.EOF {
			return "", fmt.Errorf("after the end: %w", err)
		}
	}
	return fmt.Sprint(n), nil
}

func playWaits(ctx context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	if _, err := begin(""); err != nil {
		return "", err
	}
	note(s.Key, "has begun")
	<-ctx.Done()
	note(s.Key, context.Cause(ctx).Error())
	return "", context.Cause(ctx)
}

// playLeavesASender returns while others still send and receive.
func playLeavesASender(ctx context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	p, err := begin("")
	if err != nil {
		return "", err
	}
	sent := make(chan struct{}, 100)
	for range 4 {
		go func() {
			for {
				if err := p.Send(1); err != nil {
					note(s.Key, "Send: "+err.Error())
					return
				}
				select {
				case sent <- struct{}{}:
				default:
				}
			}
		}()
		go func() {
			_, err := p.Recv()
			note(s.Key, fmt.Sprintf("Recv: %v", err))
		}()
	}
	<-sent
	return "left", nil
}

func playLeavesTheStart(ctx context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	task := traigo.CurrentTask(ctx)
	traigoGo(func() {
		<-task.Done()
		p, err := begin("late")
		note(s.Key, fmt.Sprintf("started: %v %v", p != nil, err))
	})
	return "", nil
}

func traigoGo(f func()) { go f() }

// playEchoesAtOnce sends back what it receives, in many goroutines.
func playEchoesAtOnce(_ context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	p, err := begin("")
	if err != nil {
		return "", err
	}
	var all sync.WaitGroup
	var n atomic.Int32
	for range 8 {
		all.Go(func() {
			for {
				i, err := p.Recv()
				if err != nil {
					if err != io.EOF {
						note(s.Key, err.Error())
					}
					return
				}
				n.Add(1)
				if err := p.Send(i); err != nil {
					note(s.Key, err.Error())
					return
				}
			}
		})
	}
	all.Wait()
	return fmt.Sprint(n.Load()), nil
}

func playHugeFirst(_ context.Context, s script, begin actor.Started[string, int, int]) (string, error) {
	_, err := begin(strings.Repeat("a", 64<<20))
	return fmt.Sprint(err), err
}

func quietBody(context.Context, string, *numbers) error { return nil }

// A18

func TestADialogWhoseFunctionDoesNotStartHasNoBody(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		body := func(context.Context, string, *numbers) error {
			assert.Fail(t, "the body runs")
			return nil
		}
		out, err := play.Run(ctx, a, script{Does: "returns before"}, body)
		require.ErrorIs(t, err, actor.ErrNotStarted)
		assert.ErrorContains(t, err, "root/mid")
		assert.ErrorContains(t, err, "dialog.play")
		assert.Equal(t, "early", out, "a result is a result")

		out, err = play.Run(ctx, a, script{Does: "fails before"}, body)
		require.ErrorIs(t, err, errBoom)
		require.NotErrorIs(t, err, actor.ErrNotStarted)
		assert.Equal(t, "early", out)

		canceled, cancel := context.WithCancelCause(ctx)
		go func() {
			waitForNotes(ctx, t, a, "blocks before", 1)
			cancel(errMine)
		}()
		_, err = play.Run(canceled, a, script{Key: "blocks before", Does: "blocks before"}, body)
		assert.Equal(t, errMine, err)
		require.Len(t, notes(ctx, t, a, "blocks before"), 2, "Run has waited")
	})
}

func TestStartedIsCalledOnce(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		n := 0
		out, err := play.Run(ctx, a, script{Does: "starts twice"}, func(_ context.Context, first string, _ *numbers) error {
			assert.Equal(t, "first", first)
			n++
			return nil
		})
		require.NoError(t, err)
		assert.Contains(t, out, "started")
		assert.Equal(t, 1, n)
		out, err = play.Run(ctx, a, script{Does: "starts at once often"}, quietBody)
		require.NoError(t, err)
		assert.Equal(t, "1", out)
	})
}

func TestStartedAfterTheFunctionHasReturnedIsAnError(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		_, err := play.Run(ctx, a, script{Key: "late", Does: "leaves the start"}, func(context.Context, string, *numbers) error {
			assert.Fail(t, "the body runs")
			return nil
		})
		require.ErrorIs(t, err, actor.ErrNotStarted)
		all := waitForNotes(ctx, t, a, "late", 2)
		assert.Contains(t, all[1], "started: false ")
		assert.NotContains(t, all[1], "nil")
	})
}

func TestAFirstThatIsTooLargeIsAnErrorOfTheFunction(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		_, err := play.Run(ctx, a, script{Does: "huge first"}, func(context.Context, string, *numbers) error {
			assert.Fail(t, "the body runs")
			return nil
		})
		require.ErrorContains(t, err, "dialog.play")
		require.NotErrorIs(t, err, actor.ErrNotStarted)
	})
}

// A19

func TestABodyThatReturnsLetsTheFunctionReadAll(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, closes := range []bool{false, true} {
			out, err := play.Run(ctx, a, script{Does: "reads all"}, func(_ context.Context, _ string, p *numbers) error {
				for i := range 100 {
					require.NoError(t, p.Send(i))
				}
				if closes {
					require.NoError(t, p.CloseSend())
					require.NoError(t, p.CloseSend(), "twice")
					require.Error(t, p.Send(1))
				}
				return nil
			})
			require.NoError(t, err)
			assert.Equal(t, "100 of sum 4950", out)
		}
	})
}

func TestWhatTheFunctionSendsAfterTheBodyIsDropped(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, opts := range [][]actor.StreamOption{nil, {actor.Overrun(1)}, {actor.Overrun(1000)}} {
			out, err := play.Run(ctx, a, script{Does: "reads, then sends N", N: 20_000}, quietBody, opts...)
			require.NoError(t, err)
			assert.Equal(t, "has sent all", out)
		}
		// Far more than what may be under way, from before and from after the end of the body.
		n, err := chunks.Run(ctx, a, 1<<12, func(context.Context, none, *actor.Peer[[]byte, []byte]) error { return nil })
		require.NoError(t, err)
		assert.Zero(t, n)
	})
}

func TestOverrunDoesNotCountWhatComesAfterTheBody(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for i := range 10 {
			key := fmt.Sprint("overrun ", i)
			out, err := play.Run(ctx, a, script{Key: key, Does: "reads, then sends N", N: 1000}, func(ctx context.Context, _ string, _ *numbers) error {
				for range 20 { // what comes after the item says that it is there
					waitForNotes(ctx, t, a, key, 1)
				}
				return nil
			}, actor.Overrun(1))
			require.NoError(t, err)
			assert.Equal(t, "has sent all", out)
		}
	})
}

// It cannot be told from outside when Send is about to block: so each size is tried.
func TestABodyThatHasSentAllThatIsUnderWayReturns(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		item := make([]byte, 16<<10)
		var sent atomic.Int64
		blocked, cancel := context.WithCancel(ctx)
		_, err := chunks.Run(blocked, a, 1<<10, func(ctx context.Context, _ none, p *actor.Peer[[]byte, []byte]) error {
			go func() { // until no more fits
				defer cancel()
				for n := int64(-1); n != sent.Load(); {
					n = sent.Load()
					for late := time.Now().Add(200 * time.Millisecond); time.Now().Before(late) && n == sent.Load(); {
						time.Sleep(time.Millisecond)
					}
				}
			}()
			for {
				if err := p.Send(item); err != nil {
					return err
				}
				sent.Add(1)
			}
		})
		require.ErrorIs(t, err, context.Canceled)
		t.Log("items under way:", sent.Load())
		for n := sent.Load() - 10; n <= sent.Load(); n++ {
			limited, cancel := context.WithTimeout(ctx, 20*time.Second)
			out, err := chunks.Run(limited, a, 1<<10, func(_ context.Context, _ none, p *actor.Peer[[]byte, []byte]) error {
				for range n {
					if err := p.Send(item); err != nil {
						return err
					}
				}
				return nil
			})
			cancel()
			require.NoError(t, err, "%d items", n)
			assert.Equal(t, int(n), out)
		}
	})
}

// chunks sends n items of 16 KiB, and reads only then.
var chunks = exposed(actor.Dialog("dialog.chunks", func(_ context.Context, n int, begin actor.Started[none, []byte, []byte]) (int, error) {
	p, err := begin(none{})
	for i := 0; i < n && err == nil; i++ {
		err = p.Send(make([]byte, 16<<10))
	}
	got := 0
	for err == nil {
		if _, err = p.Recv(); err == nil {
			got++
		}
	}
	if err == io.EOF {
		err = nil
	}
	return got, err
}))

func TestABodyThatFailsCancelsTheFunction(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		failing := func(context.Context, string, *numbers) error { return errMine }
		_, err := play.Run(ctx, a, script{Key: "canceled", Does: "waits"}, failing)
		assert.Equal(t, errMine, err)
		all := notes(ctx, t, a, "canceled")
		require.Len(t, all, 3, "Run has waited")
		assert.Contains(t, all[1], errMine.Error(), "the function is told why")

		_, err = play.Run(ctx, a, script{Key: "also", Does: "waits, fails also"}, failing)
		require.ErrorIs(t, err, errMine)
		require.ErrorIs(t, err, errBoom)
		failure, ok := errors.AsType[*actor.Error](err)
		require.True(t, ok)
		assert.Equal(t, a.ID(), failure.From)

		// It is blocked in Send.
		_, err = play.Run(ctx, a, script{Key: "stuffed", Does: "sends N", N: 100_000_000}, failing)
		assert.Equal(t, errMine, err)
		// It has returned before, without an error.
		_, err = play.Run(ctx, a, script{Key: "over", Does: "sends N", N: 1}, func(context.Context, string, *numbers) error {
			waitForNotes(ctx, t, a, "over", 2)
			return errMine
		})
		assert.Equal(t, errMine, err)
	})
}

// listErrors is an error that == panics for.
type listErrors []string

func (e listErrors) Error() string { return fmt.Sprint([]string(e)) }

func TestABodyMayFailWithAnErrorThatCannotBeCompared(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		_, err := play.Run(ctx, a, script{Key: "list", Does: "waits"}, func(context.Context, string, *numbers) error { return listErrors{"a", "b"} })
		assert.Equal(t, listErrors{"a", "b"}, err)
	})
}

func TestAPanicOfTheBodyGoesOnWhenTheFunctionHasReturned(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		value := recovered(func() {
			_, _ = play.Run(ctx, a, script{Key: "panic", Does: "waits"}, func(context.Context, string, *numbers) error { panic(errMine) })
		})
		assert.Equal(t, errMine, value)
		require.Len(t, notes(ctx, t, a, "panic"), 3, "Run has waited")

		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = play.Run(ctx, a, script{Key: "goexit", Does: "waits"}, func(context.Context, string, *numbers) error {
				runtime.Goexit()
				return nil
			})
			assert.Fail(t, "it goes on after Goexit")
		}()
		<-ended
		require.Len(t, notes(ctx, t, a, "goexit"), 3, "Run has waited")

		value = recovered(func() { // while the function blocks in Send
			_, _ = play.Run(ctx, a, script{Does: "sends N", N: 100_000_000}, func(context.Context, string, *numbers) error { panic(errMine) })
		})
		assert.Equal(t, errMine, value)
	})
}

// A20

func TestAFunctionThatFailsFirstCancelsTheBody(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for name, body := range map[string]func(context.Context) error{
			"nil":         func(context.Context) error { return nil },
			"its Err":     func(ctx context.Context) error { return ctx.Err() },
			"its cause":   func(ctx context.Context) error { return context.Cause(ctx) },
			"wraps cause": func(ctx context.Context) error { return fmt.Errorf("the body: %w", context.Cause(ctx)) },
		} {
			t.Run(name, func(t *testing.T) {
				_, err := play.Run(ctx, a, script{Does: "sends N, fails", N: 3}, func(ctx context.Context, _ string, _ *numbers) error {
					<-ctx.Done() // though three items are unread
					assert.ErrorIs(t, context.Cause(ctx), errBoom)
					assert.ErrorIs(t, ctx.Err(), context.Canceled)
					return body(ctx)
				})
				failure, ok := errors.AsType[*actor.Error](err)
				require.True(t, ok, "%v", err)
				assert.ErrorIs(t, err, errBoom)
				assert.Equal(t, a.ID(), failure.From)
				assert.Equal(t, failure, err, "once")
			})
		}
		_, err := play.Run(ctx, a, script{Does: "sends N, fails", N: 3}, func(ctx context.Context, _ string, _ *numbers) error {
			<-ctx.Done()
			return errMine
		})
		require.ErrorIs(t, err, errBoom)
		require.ErrorIs(t, err, errMine)
	})
}

func TestBlockedSendsAndRecvsEndWhenTheFunctionFails(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		_, err := play.Run(ctx, a, script{Does: "sends N, fails"}, func(_ context.Context, _ string, p *numbers) error {
			_, err := p.Recv()
			assert.ErrorIs(t, err, errBoom)
			assert.ErrorIs(t, p.Send(1), errBoom)
			return err
		})
		require.ErrorIs(t, err, errBoom)
		_, err = failSlowly.Run(ctx, a, none{}, func(_ context.Context, _ none, p *actor.Peer[[]byte, none]) error {
			for {
				if err := p.Send(make([]byte, 1<<16)); err != nil {
					return err
				}
			}
		})
		require.ErrorIs(t, err, errBoom)
		_, ok := errors.AsType[*actor.Error](err)
		assert.True(t, ok)
	})
}

// failSlowly never reads, and fails when its peer must be blocked in Send.
var failSlowly = exposed(actor.Dialog("dialog.fail slowly", func(ctx context.Context, _ none, begin actor.Started[none, none, []byte]) (none, error) {
	if _, err := begin(none{}); err != nil {
		return none{}, err
	}
	_ = traigo.Sleep(ctx, 300*time.Millisecond)
	return none{}, errBoom
}))

func TestAFunctionThatReturnsFirstLetsTheBodyGoOn(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, opts := range [][]actor.StreamOption{nil, {actor.Overrun(1000)}} {
			out, err := play.Run(ctx, a, script{Key: "first", Does: "sends N", N: 100}, func(ctx context.Context, _ string, p *numbers) error {
				waitForNotes(context.WithoutCancel(ctx), t, a, "first", 2)
				n := 0
				for i, err := range p.Items() {
					require.NoError(t, err)
					assert.Equal(t, n, i)
					n++
				}
				assert.Equal(t, 100, n, "what was sent before is read")
				for range 3 {
					_, err := p.Recv()
					assert.Equal(t, io.EOF, err)
				}
				err := p.Send(1)
				require.Error(t, err)
				assert.NotErrorIs(t, err, io.EOF)
				assert.NotErrorIs(t, err, context.Canceled)
				require.NoError(t, ctx.Err())
				return nil
			}, opts...)
			require.NoError(t, err)
			assert.Equal(t, "sent", out)
		}
	})
}

func TestSendToAFunctionThatHasReturnedIsAnErrorBeforeItsItemsAreRead(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		_, err := play.Run(ctx, a, script{Key: "gone", Does: "sends N", N: 3}, func(ctx context.Context, _ string, p *numbers) error {
			waitForNotes(context.WithoutCancel(ctx), t, a, "gone", 2)
			waitUntil(t, func() bool { return p.Send(1) != nil })
			_, err := p.Recv()
			return err
		})
		require.NoError(t, err)
	})
}

func TestClosingOnesSideLetsReadingGoOn(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		out, err := play.Run(ctx, a, script{Does: "closes, then reads"}, func(ctx context.Context, _ string, p *numbers) error {
			_, err := p.Recv()
			assert.Equal(t, io.EOF, err)
			_, err = p.Recv()
			assert.Equal(t, io.EOF, err, "again")
			for i := range 10 {
				require.NoError(t, p.Send(i), "the function still reads")
			}
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, "read 10", out)
		out, err = play.Run(ctx, a, script{Does: "closes, then sends"}, quietBody)
		require.NoError(t, err)
		assert.NotEqual(t, "<nil>", out)
		out, err = play.Run(ctx, a, script{Does: "reads after the end"}, func(_ context.Context, _ string, p *numbers) error { return p.Send(1) })
		require.NoError(t, err)
		assert.Equal(t, "1", out)

		// The body closes, and reads what the function sends after that.
		out, err = play.Run(ctx, a, script{Does: "reads, then sends N", N: 1000}, func(_ context.Context, _ string, p *numbers) error {
			require.NoError(t, p.CloseSend())
			n := 0
			for i, err := range p.Items() {
				require.NoError(t, err)
				assert.Equal(t, n, i)
				n++
			}
			assert.Equal(t, 1000, n)
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, "has sent all", out)
	})
}

func TestAPeerIsOverWhenItsSideHasReturned(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		var kept *numbers
		_, err := play.Run(ctx, a, script{Does: "reads all"}, func(_ context.Context, _ string, p *numbers) error {
			kept = p
			return nil
		})
		require.NoError(t, err)
		within(func() {
			require.Error(t, kept.Send(1))
			_, err = kept.Recv()
			require.Error(t, err)
			for _, err := range kept.Items() {
				require.Error(t, err)
			}
			_ = kept.CloseSend()
		})
		_, err = square.Run(ctx, a, 1)
		require.NoError(t, err)
	})
}

func TestWhatAFunctionLeavesRunningEndsWithItsDialog(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for i := range 20 {
			key := fmt.Sprint("left ", i)
			out, err := play.Run(ctx, a, script{Key: key, Does: "leaves a sender"}, func(_ context.Context, _ string, p *numbers) error {
				for _, err := range p.Items() {
					if err != nil {
						return err
					}
				}
				return nil
			})
			require.NoError(t, err)
			assert.Equal(t, "left", out)
			for _, what := range waitForNotes(ctx, t, a, key, 9) {
				assert.True(t, what == "returns <nil>" || !strings.Contains(what, "nil"), "each has an error: %s", what)
			}
		}
	})
}

func TestWhatABodyLeavesRunningEndsWithItsDialog(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, result := range []error{nil, errMine} {
			var left sync.WaitGroup
			_, err := play.Run(ctx, a, script{Does: "echoes at once"}, func(_ context.Context, _ string, p *numbers) error {
				begun := make(chan struct{}, 8)
				for range 4 {
					left.Go(func() {
						begun <- struct{}{}
						for p.Send(1) == nil {
						}
					})
					left.Go(func() {
						begun <- struct{}{}
						for {
							if _, err := p.Recv(); err != nil {
								return
							}
						}
					})
				}
				for range 8 {
					<-begun
				}
				return result
			})
			assert.Equal(t, result, err)
			within(left.Wait)
		}
	})
}

func TestPeersMayBeUsedFromManyGoroutines(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		const senders, each = 8, 500
		out, err := play.Run(ctx, a, script{Key: "echoes", Does: "echoes at once"}, func(_ context.Context, _ string, p *numbers) error {
			var all, readers sync.WaitGroup
			var mu sync.Mutex
			got := map[int]int{}
			for range 4 {
				readers.Go(func() {
					for i, err := range p.Items() {
						assert.NoError(t, err)
						mu.Lock()
						got[i]++
						mu.Unlock()
					}
				})
			}
			for n := range senders {
				all.Go(func() {
					for i := range each {
						assert.NoError(t, p.Send(n*each+i))
					}
				})
			}
			all.Wait()
			for range 3 {
				all.Go(func() { assert.NoError(t, p.CloseSend()) })
			}
			all.Wait()
			readers.Wait()
			assert.Len(t, got, senders*each, "each item once")
			for i, n := range got {
				assert.Equal(t, 1, n, "item %d", i)
			}
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprint(senders*each), out)
		assert.Len(t, notes(ctx, t, a, "echoes"), 1)
	})
}

func TestABlockedRecvOfTheFunctionEndsWithTheContextOfTheCaller(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		canceled, cancel := context.WithCancelCause(ctx)
		_, err := play.Run(canceled, a, script{Key: "recv", Does: "reads all"}, func(ctx context.Context, _ string, p *numbers) error {
			cancel(errMine)
			_, err := p.Recv()
			assert.Equal(t, errMine, err)
			assert.Equal(t, errMine, context.Cause(ctx))
			assert.Equal(t, errMine, p.Send(1))
			return err
		})
		assert.Equal(t, errMine, err)
		all := notes(ctx, t, a, "recv")
		require.Len(t, all, 1)
		assert.Contains(t, all[0], "was canceled by")
	})
}

func TestAnActorThatEndsEndsItsDialogs(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		_, err := play.Run(ctx, a, script{Does: "reads all"}, func(_ context.Context, _ string, p *numbers) error {
			a.Cancel(errMine)
			_, err := p.Recv()
			return err
		})
		require.Error(t, err)
		t.Log(err)
		require.NoError(t, a.Wait(ctx))
	})
}

func TestRandomDialogs(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			for i := range 300 {
				s.Spawn(func(ctx context.Context) error {
					n := i % 50
					_, err := play.Run(ctx, a, script{Does: "echoes at once"}, func(_ context.Context, _ string, p *numbers) error {
						for i := range n {
							if err := p.Send(i); err != nil {
								return err
							}
						}
						for range n / 2 {
							if _, err := p.Recv(); err != nil {
								return err
							}
						}
						if i%3 == 0 {
							return errMine
						}
						return nil
					})
					if i%3 == 0 {
						assert.Equal(t, errMine, err)
						return nil
					}
					return err
				})
			}
			return nil
		}, traigo.Limit(20))
		require.NoError(t, err)
	})
}
