package record_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

func TestDiskThatIsFullFromTheBeginning(t *testing.T) {
	silent(t)
	for _, opts := range modes {
		rec, err := record.Create("/dev/full", opts...)
		require.NoError(t, err)
		require.NoError(t, traigo.Run(context.Background(), oneTask, traigo.Observe(rec)))
		err = rec.Close()
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorContains(t, err, "record: 7 lines of /dev/full are missing")
	}
}

// A full disk on which space becomes free again.
func TestDiskThatHasRoomAgain(t *testing.T) {
	silent(t)
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	defer func() { assert.NoError(t, syscall.Unmount(dir, 0)) }()
	for _, row := range []struct {
		name string
		opts []record.Option
	}{{"default", nil}, {"durable", []record.Option{record.Durable()}}} {
		t.Run(row.name, func(t *testing.T) {
			path, filler := filepath.Join(dir, row.name), filepath.Join(dir, "filler")
			require.NoError(t, os.WriteFile(filler, make([]byte, 40<<10), 0o600))
			var observed counting
			rec, err := record.Create(path, row.opts...)
			require.NoError(t, err)
			s := traigo.New(context.Background(), traigo.Name("root"), traigo.Observe(rec), traigo.Observe(&observed))
			s.Spawn(untilCanceled, traigo.Name("parked"), traigo.Awaited(false))
			fail := func(n int) {
				for range n {
					_ = s.Spawn(func(context.Context) error { return os.ErrInvalid }, traigo.Bubble(false)).Wait(context.Background())
				}
			}
			fail(200)
			h, log := readFile(t, path)
			assert.NotZero(t, h.Lost(), "told at once")
			assert.Equal(t, observed.Load(), h.Lost()+eventLines(log))

			require.NoError(t, os.Remove(filler))
			fail(1)
			h, log = readFile(t, path)
			lost := h.Lost()
			assert.Equal(t, observed.Load(), lost+eventLines(log))
			assert.Equal(t, []string{"root", "root/parked"}, unfinished(h))
			fail(10)
			require.NoError(t, s.Wait())
			require.ErrorIs(t, rec.Close(), syscall.ENOSPC)
			h, log = readFile(t, path)
			assert.Equal(t, lost, h.Lost(), "nothing more")
			assert.Len(t, h.Losses, 1)
			whole(t, log, observed.Load())
			require.NoError(t, os.Remove(path))
		})
	}
}
