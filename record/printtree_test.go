package record_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

func TestPrintTreeShowsEachEventAndWhatIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		chat(record.PrintTree(&out))
		log := string(out.log())
		assert.Contains(t, log, `1ms scope finalized: server/conn
server (open)
├─ • accept (running)
└─ conn (finalizing)
   └─ • read (running)
2ms task spawned: server/tick
server (open)
├─ • accept (running)
├─ • tick (queued)
└─ conn (finalizing)
   └─ • read (running)
`)
		assert.Contains(t, log, `5.002s task ended: server/accept, failed: accept: too many open files
server (open)
└─ • tick (running)
`)
		last := log[strings.LastIndex(log, "scope closed"):]
		assert.True(t, strings.HasPrefix(last, `scope closed: server, scope "server": task "accept": accept: too many open files`), last)
	})
}

// The text of an event has a bound, however many tasks are alive.
func TestPrintTreeOfALargeTreeIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		longest := 0
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(record.PrintTree(writing(func(p []byte) (int, error) {
			longest = max(longest, strings.Count(string(p), "\n"))
			return len(p), nil
		}))))
		for range 40 {
			c := s.Fork()
			for range 40 {
				c.Spawn(untilCanceled)
			}
		}
		synctest.Wait()
		require.NoError(t, s.Close())
		assert.LessOrEqual(t, longest, 101)
		assert.Greater(t, longest, 50)
	})
}

func TestPrintTreeEndsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		last := ""
		tree := record.PrintTree(writing(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			last = string(p)
			return len(p), nil
		}))
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(tree))
		for range 100 {
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, oneTask)
			})
		}
		require.NoError(t, s.Wait())
		assert.Regexp(t, `^0s scope closed: s\n$`, last)
	})
}

// Names and errors cannot control the terminal or imitate lines.
func TestPrintTreeShowsHostileNamesAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		s := traigo.New(context.Background(), traigo.Name("s\x1b[2J\u202e"), traigo.Observe(record.PrintTree(&out)))
		s.Spawn(func(context.Context) error { return errors.New("no\x1b[31m\nno more") }, traigo.Name("t\nroot (open)\xff"+strings.Repeat("x", 10_000)))
		require.Error(t, s.Wait())
		for line := range strings.Lines(string(out.log())) {
			assert.Equal(t, -1, strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsGraphic(r) }), "%q", line)
			assert.False(t, strings.HasPrefix(line, "root"), line)
			assert.Less(t, len(line), 2_000)
		}
		assert.Contains(t, string(out.log()), `t\nroot (open)\xff`)
		assert.Contains(t, string(out.log()), `failed: no\x1b[31m …`)
	})
}

func TestPrintTreeSurvivesItsWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, w := range []writing{
			func([]byte) (int, error) { return 0, errors.New("no") },
			func([]byte) (int, error) { panic("no") },
		} {
			rec := record.PrintTree(w)
			require.NoError(t, traigo.Run(context.Background(), oneTask, traigo.Observe(rec)))
		}
	})
}
