package record_test

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// However many lines are lost, the log says how many, and shows nothing as unfinished that
// has ended.
func TestStressLossesAreTold(t *testing.T) {
	silent(t)
	losses := uint64(0)
	for range 25 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			var out memory
			slow := writing(func(p []byte) (int, error) {
				time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
				return out.Write(p)
			})
			var observed counting
			rec := record.New(slow, record.Buffer(1<<(7+rnd.IntN(6))))
			for range 1 + rnd.IntN(3) {
				program(rnd, traigo.Observe(rec), traigo.Observe(&observed))
			}
			err := rec.Close()
			h := whole(t, out.log(), observed.Load())
			if h.Lost() > 0 {
				require.ErrorContains(t, err, "too slow")
			} else {
				require.NoError(t, err)
			}
			losses += h.Lost()
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
	}
	assert.NotZero(t, losses, "the test has tested nothing")
}

// flaky is a writer that now and then fails for some writes, after writing a part of each.
type flaky struct {
	memory
	rnd    *rand.Rand // used by the goroutine that writes
	fail   int
	healed atomic.Bool
}

func (f *flaky) Write(p []byte) (int, error) {
	if f.healed.Load() {
		return f.memory.Write(p)
	}
	if f.fail == 0 && f.rnd.IntN(6) == 0 {
		f.fail = 1 + f.rnd.IntN(4)
	}
	if f.fail == 0 {
		return f.memory.Write(p)
	}
	f.fail--
	n, _ := f.memory.Write(p[:f.rnd.IntN(len(p))])
	if f.rnd.IntN(4) == 0 {
		return n, nil // a short write without an error
	}
	return n, syscall.EIO
}

func TestStressWriterThatFailsAndRecovers(t *testing.T) {
	silent(t)
	losses := uint64(0)
	for range 40 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			out := &flaky{rnd: rand.New(rand.NewPCG(seed, 1))}
			var observed counting
			opts := []record.Option{record.Buffer(1 << (7 + rnd.IntN(8)))}
			if rnd.IntN(2) == 0 {
				opts = append(opts, record.Durable())
			}
			rec := record.New(out, opts...)
			program(rnd, traigo.Observe(rec), traigo.Observe(&observed))
			if rnd.IntN(2) == 0 {
				time.Sleep(20 * time.Second) // the loss is reported although no event comes
			}
			out.healed.Store(true)
			err := rec.Close()
			h := whole(t, out.log(), observed.Load())
			if h.Lost() > 0 {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
			}
			losses += h.Lost()
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
		if t.Failed() {
			return
		}
	}
	assert.NotZero(t, losses, "the test has tested nothing")
}

// Writing the census after a loss takes time. No lines may be lost meanwhile, or another
// census would follow, and so on without end.
func TestLossAmongManyIsOne(t *testing.T) {
	silent(t)
	synctest.Test(t, func(t *testing.T) {
		var out memory
		var slow, hiccup atomic.Bool
		rec := record.New(writing(func(p []byte) (int, error) {
			if hiccup.Swap(false) {
				time.Sleep(time.Second)
			}
			if slow.Load() {
				time.Sleep(time.Duration(len(p)) * time.Microsecond)
			}
			return out.Write(p)
		}), record.Buffer(8<<10))
		var observed counting
		s := traigo.New(context.Background(), traigo.Observe(rec), traigo.Observe(&observed))
		for range 2_000 {
			s.Spawn(untilCanceled, traigo.Awaited(false))
			synctest.Wait()
		}
		slow.Store(true)
		hiccup.Store(true)
		for range 3_000 {
			_ = s.Spawn(nop).Wait(context.Background())
			time.Sleep(time.Millisecond)
		}
		slow.Store(false)
		time.Sleep(time.Second)
		_ = s.Close()
		_ = rec.Close()
		h := whole(t, out.log(), observed.Load())
		during := 0
		for _, l := range h.Losses {
			if l.At > 0 && l.At < 3*time.Second {
				during++
			}
		}
		assert.Equal(t, 1, during, "%v", h.Losses)
	})
}

func TestCloseSaysWhatIsMissingAndWhy(t *testing.T) {
	silent(t)
	for _, row := range []struct {
		name string
		fail error
		opts []record.Option
	}{
		{"default", os.ErrClosed, nil},
		{"durable", io.ErrClosedPipe, []record.Option{record.Durable()}},
	} {
		synctest.Test(t, func(t *testing.T) {
			rec := record.New(writing(func([]byte) (int, error) { return 0, row.fail }), row.opts...)
			var observed counting
			require.NoError(t, traigo.Run(context.Background(), emptyBody,
				traigo.Observe(rec), traigo.Observe(&observed)))
			err := rec.Close()
			require.ErrorIs(t, err, row.fail)
			require.ErrorContains(t, err, "record: 4 lines of")
			assert.EqualValues(t, 4, observed.Load())
			assert.Equal(t, err, rec.Close())
		})
	}
}

// Only the first loss is logged.
func TestFirstLossIsLogged(t *testing.T) {
	var out memory
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(was)
	synctest.Test(t, func(t *testing.T) {
		rec := record.New(writing(func([]byte) (int, error) { return 0, syscall.ENOSPC }))
		for range 10 {
			require.NoError(t, traigo.Run(context.Background(), emptyBody, traigo.Observe(rec)))
		}
		require.ErrorIs(t, rec.Close(), syscall.ENOSPC)
	})
	assert.Equal(t, 1, strings.Count(string(out.log()), "WARN"))
}
