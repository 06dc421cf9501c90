package record_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
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

func beats(log []byte) int { return bytes.Count(log, []byte(`"k":"beat"`)) }

// While nothing happens, the log says to within a second how long the program has lived.
func TestHeartbeatSaysThatTheProcessLives(t *testing.T) {
	for _, mode := range modes {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			rec := record.New(&out, mode...)
			time.Sleep(10*time.Second + 500*time.Millisecond)
			assert.Equal(t, 10, beats(out.log()), "though nothing is alive")
			s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
			s.Spawn(untilCanceled)
			moved := 10*time.Second + 500*time.Millisecond
			for range 8 {
				time.Sleep(time.Second)
				synctest.Wait()
				h := read(t, out.log())
				assert.Equal(t, moved, h.Processes[0].Moved)
				assert.Less(t, time.Since(h.Started)-h.End, 1100*time.Millisecond)
				assert.Equal(t, h.End, h.Processes[0].Until)
			}
			before := beats(out.log())
			for range 20 {
				time.Sleep(900 * time.Millisecond)
				s.Spawn(nop)
			}
			assert.Equal(t, before, beats(out.log()), "something else was written")
			require.NoError(t, s.Close())
			require.NoError(t, rec.Close())
			n := len(out.log())
			time.Sleep(time.Minute)
			assert.Len(t, out.log(), n, "Close stops it")
		})
	}
}

// A file does not grow while nothing happens.
func TestHeartbeatsInAFileReplaceEachOther(t *testing.T) {
	for _, mode := range modes {
		synctest.Test(t, func(t *testing.T) {
			path := tempLog(t)
			rec, err := record.Create(path, append(mode, record.Census(0))...)
			require.NoError(t, err)
			s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
			for range 3 {
				time.Sleep(30*time.Second + 100*time.Millisecond)
				s.Spawn(nop)
			}
			time.Sleep(30*time.Second + 100*time.Millisecond)
			synctest.Wait()
			h, log := readFile(t, path)
			assert.Equal(t, 4, beats(log), "one for each standstill: %s", log)
			assert.Equal(t, 120*time.Second+300*time.Millisecond, h.End)
			assert.Zero(t, h.Damaged)
			assert.Len(t, h.Scopes[0].Tasks, 3)
			require.NoError(t, s.Close())
			require.NoError(t, rec.Close())
			h, _ = readFile(t, path)
			assert.Empty(t, unfinished(h))
			assert.Zero(t, h.Damaged)
		})
	}
}

// In a bubble the timer rests after a while, so that a deadlock in it is detected. It begins
// again when something happens.
func TestHeartbeatRestsInABubble(t *testing.T) {
	for _, mode := range modes {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			rec := record.New(&out, mode...)
			for n := range 3 {
				s := traigo.New(t.Context(), traigo.Observe(rec))
				began := time.Now()
				go func() {
					time.Sleep(1000 * time.Hour)
					s.Cancel(nil)
				}()
				<-s.Done()
				assert.Equal(t, 1000*time.Hour, time.Since(began))
				assert.Equal(t, 60*(n+1), beats(out.log()))
			}
			require.NoError(t, rec.Close())
		})
	}
}

// A bubble in which everything is blocked for ever ends with its usual panic, and not never.
func TestHeartbeatLetsADeadlockBeDetected(t *testing.T) {
	var said any
	func() {
		defer func() { said = recover() }()
		synctest.Test(t, func(t *testing.T) {
			_ = record.New(io.Discard, record.Durable(), record.Census(2*time.Minute))
			<-make(chan struct{})
		})
	}()
	assert.Contains(t, said.(error).Error(), "deadlock")
}

// A recorder from outside of the bubble goes on: its time is the real one.
func TestHeartbeatOfARecorderFromOutsideTheBubble(t *testing.T) {
	for _, mode := range modes {
		var out memory
		rec := record.New(&out, mode...)
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context(), traigo.Observe(rec))
			time.Sleep(1000 * time.Hour)
			require.NoError(t, s.Close())
		})
		assert.Eventually(t, func() bool { return beats(out.log()) > 0 }, 10*time.Second, 10*time.Millisecond)
		require.NoError(t, rec.Close())
	}
}

// A heartbeat that cannot be written is not lost.
func TestHeartbeatThatCannotBeWrittenIsNoLoss(t *testing.T) {
	for _, mode := range modes {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			var broken atomic.Bool
			rec := record.New(writing(func(p []byte) (int, error) {
				if !broken.Load() {
					return out.Write(p)
				}
				n, _ := out.Write(p[:len(p)/2])
				return n, syscall.ENOSPC
			}), mode...)
			synctest.Wait()
			broken.Store(true)
			s := time.Now()
			time.Sleep(10 * time.Second)
			broken.Store(false)
			time.Sleep(2 * time.Second)
			h := read(t, out.log())
			assert.Less(t, time.Since(s)-h.End, 1100*time.Millisecond)
			require.NoError(t, rec.Close())
			h = read(t, out.log())
			assert.Zero(t, h.Lost())
			assert.Empty(t, h.Losses)
			assert.Zero(t, h.Damaged)
			assert.True(t, h.Closed)
		})
	}
}

// With Durable too a loss is reported although no event comes.
func TestHeartbeatReportsALoss(t *testing.T) {
	silent(t)
	for _, mode := range modes {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			var broken atomic.Bool
			rec := record.New(writing(func(p []byte) (int, error) {
				if broken.Load() {
					return 0, syscall.ENOSPC
				}
				return out.Write(p)
			}), mode...)
			synctest.Wait()
			broken.Store(true)
			s := traigo.New(t.Context(), traigo.Observe(rec))
			s.Spawn(untilCanceled)
			time.Sleep(5 * time.Second)
			assert.Equal(t, 1, bytes.Count(out.log(), []byte("\n")))
			broken.Store(false)
			time.Sleep(3 * time.Second)
			h := read(t, out.log())
			assert.EqualValues(t, 3, h.Lost())
			assert.Len(t, h.Scopes, 1)
			assert.Positive(t, beats(out.log()))
			_ = s.Close()
			require.Error(t, rec.Close())
		})
	}
}

// A stuck writer gets one heartbeat when it comes back, not one for each second.
func TestHeartbeatsDoNotPileUp(t *testing.T) {
	for _, mode := range modes {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			free := make(chan struct{})
			rec := record.New(writing(func(p []byte) (int, error) {
				if strings.Contains(string(p), "beat") {
					<-free
				}
				return out.Write(p)
			}), mode...)
			time.Sleep(30 * time.Second)
			close(free)
			time.Sleep(100 * time.Millisecond)
			assert.LessOrEqual(t, beats(out.log()), 3)
			require.NoError(t, rec.Close())
		})
	}
}

// Heartbeats take room, and a file is not begun for them alone.
func TestHeartbeatsAndRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempLog(t)
		rec, err := record.Create(path, record.MaxAge(10*time.Second), record.MaxSize(2000), record.Keep(100), record.Census(0))
		require.NoError(t, err)
		var observed counting
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec), traigo.Observe(&observed))
		time.Sleep(50 * time.Second)
		_, err = os.Stat(path + ".1")
		require.ErrorIs(t, err, os.ErrNotExist, "nothing has happened")
		for range 300 {
			require.NoError(t, s.Spawn(nop).Wait(context.Background()))
			time.Sleep(1500 * time.Millisecond)
		}
		require.NoError(t, s.Wait())
		require.NoError(t, rec.Close())
		all := segments(t, path)
		assert.Greater(t, len(all), 10)
		for _, log := range all {
			assert.LessOrEqual(t, len(log), 2200)
			assert.NotZero(t, eventLines(log))
		}
		whole(t, bytes.Join(all, nil), observed.Load())
	})
}

// A census that cannot be written is written when the writer works again: of one standstill there
// may be no other.
func TestCensusWaitsForTheWriter(t *testing.T) {
	silent(t)
	for _, mode := range modes {
		for name, taken := range map[string]func([]byte) int{
			"nothing":             func([]byte) int { return 0 },
			"a part of a line":    func([]byte) int { return 10 },
			"a line":              func(p []byte) int { return bytes.IndexByte(p, '\n') + 1 },
			"a line and a part":   func(p []byte) int { return min(len(p), bytes.IndexByte(p, '\n')+20) },
			"a part of each line": func(p []byte) int { return (len(p) + 1) / 2 },
		} {
			for _, moves := range []bool{false, true} {
				t.Run(fmt.Sprint(len(mode), name, moves), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var out memory
						var broken atomic.Bool
						rec := record.New(writing(func(p []byte) (int, error) {
							if !broken.Load() {
								return out.Write(p)
							}
							n, _ := out.Write(p[:min(len(p), taken(p))])
							return n, syscall.ENOSPC
						}), mode...)
						s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
						s.Spawn(untilCanceled, traigo.Name("a"))
						s.Spawn(func(ctx context.Context) error { received(ctx.Done()); return nil }, traigo.Name("b"))
						time.Sleep(5 * time.Second)
						broken.Store(true)
						time.Sleep(20 * time.Second)
						broken.Store(false)
						if moves {
							s.Spawn(nop)
						}
						time.Sleep(2 * time.Second)
						h := read(t, out.log())
						require.Len(t, h.Censuses, 1)
						assert.Equal(t, 10*time.Second, h.Censuses[0].At)
						var got []string
						for _, g := range h.Censuses[0].Groups {
							got = append(got, names(g)...)
						}
						assert.ElementsMatch(t, []string{"s/a", "s/b"}, got)
						assert.Zero(t, h.Damaged)
						assert.Zero(t, h.Lost())
						time.Sleep(time.Hour)
						_ = s.Close()
						_ = rec.Close()
						assert.Len(t, read(t, out.log()).Censuses, map[bool]int{false: 1, true: 2}[moves])
					})
				})
			}
		}
	}
}
