package proc_test

import (
	"context"
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
