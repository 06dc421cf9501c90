//go:build unix

package record_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// TestFillsTheDisk is a program with a limit on the size of its files.
func TestFillsTheDisk(t *testing.T) {
	how, path, opts := childArgs(t)
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 10_000, Max: 10_000}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	rec, err := record.Create(path, opts...)
	require.NoError(t, err)
	var observed counting
	s := traigo.New(context.Background(), traigo.Name("root"), traigo.Observe(rec), traigo.Observe(&observed))
	for range 500 {
		_ = s.Spawn(fail, traigo.Name("failing"), traigo.Bubble(false)).Wait(context.Background())
	}
	if how == "SIGKILL" {
		last := s.Spawn(fail, traigo.Bubble(false))
		<-last.Done()
		fmt.Printf("observed %d\n", observed.Load())
		deaths[how]()
	}
	if how == "ended" {
		require.NoError(t, s.Wait())
	}
	err = rec.Close()
	fmt.Printf("observed %d: %v\n", observed.Load(), err)
	require.ErrorIs(t, err, syscall.EFBIG)
	os.Exit(0)
}

func TestDiskFull(t *testing.T) {
	for _, how := range []string{"ended", "open", "SIGKILL"} {
		for _, mode := range []string{"default", "durable"} {
			t.Run(how+"/"+mode, func(t *testing.T) {
				path := tempLog(t)
				out := rerun(t, "TestFillsTheDisk", how, mode, path)
				_, said, _ := strings.Cut(out, "observed ")
				var observed uint64
				_, err := fmt.Sscanf(said, "%d", &observed)
				require.NoError(t, err, out)
				h, log := readFile(t, path)
				assert.Equal(t, observed, eventLines(log)+h.Lost(), out)
				assert.NotZero(t, h.Lost())
				assert.Greater(t, len(log), 9_000)
				assert.Equal(t, how != "SIGKILL", h.Closed)
				assert.False(t, h.Truncated)
				assert.Zero(t, h.Damaged)
				switch how {
				case "ended":
					assert.Empty(t, unfinished(h))
				case "open":
					assert.Equal(t, []string{"root"}, unfinished(h))
				}
				if how != "SIGKILL" {
					assert.Contains(t, out, fmt.Sprintf("record: %d lines of %s are missing", h.Lost(), path))
				}
				t.Logf("%-8s %-8s observed %d, there %d, lost %d, closed %v", how, mode, observed, eventLines(log), h.Lost(), h.Closed)
			})
		}
	}
}

func TestClosedPipe(t *testing.T) {
	silent(t)
	for _, opts := range modes {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, r.Close())
		rec := record.New(w, opts...)
		require.NoError(t, traigo.Run(context.Background(), oneTask, traigo.Observe(rec)))
		err = rec.Close()
		require.ErrorIs(t, err, syscall.EPIPE)
		require.ErrorContains(t, err, "record: 7 lines of |1 are missing")
		require.NoError(t, w.Close())
	}
}
