//go:build unix

package record_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

// A child is a test of this binary that runs in another process.
type child struct {
	*exec.Cmd
	out io.ReadCloser
}

// startChild starts one, and returns when it has printed "ready".
func startChild(t *testing.T, test, how, mode, path string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), argVar+"="+how+","+mode, pathVar+"="+path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		require.NoError(t, err, line)
		if strings.Contains(line, "ready") {
			return &child{cmd, out}
		}
	}
}

// end returns what the child prints until it ends, and how it ends.
func (c *child) end() (text string, err error) {
	all, _ := io.ReadAll(c.out)
	return string(all), c.Wait()
}

// TestHangs is a program that hangs: of five tasks, four wait for a mutex.
func TestHangs(t *testing.T) {
	how, path, opts := childArgs(t)
	opts = append(opts, record.Census(time.Second))
	if how != "SIGKILL" {
		opts = append(opts, record.OnQuit(), record.Census(0))
	}
	rec, err := record.Create(path, opts...)
	require.NoError(t, err)
	observers := []traigo.ScopeOption{traigo.Name("root"), traigo.Observe(rec)}
	if how == "two" {
		other, err := record.Create(path+".other", opts...)
		require.NoError(t, err)
		observers = append(observers, traigo.Observe(other))
	}
	received := make(chan os.Signal, 10)
	if how == "handled" {
		signal.Notify(received, syscall.SIGQUIT)
	}
	s := traigo.New(context.Background(), observers...)
	var mu sync.Mutex
	mu.Lock()
	for i := range 4 {
		s.Spawn(func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			return nil
		}, traigo.Name(fmt.Sprint("locks-", i)))
	}
	holds := s.Spawn(untilCanceled, traigo.Name("holds"))
	require.Eventually(t, func() bool {
		return strings.Count(s.Dump().String(), "sync.Mutex.Lock") == 4
	}, 10*time.Second, time.Millisecond)
	fmt.Println("ready")
	if how == "handled" {
		fmt.Println("received", <-received, "and", <-received)
		_ = syscall.Kill(os.Getpid(), syscall.SIGQUIT)
		fmt.Println("and later", <-received)
		holds.Cancel(nil)
		mu.Unlock()
		_ = s.Wait()
		_ = rec.Close()
		return
	}
	<-holds.Done()
}

// checkHang checks that a census of TestHangs is right.
func checkHang(t *testing.T, c *history.Census) {
	t.Helper()
	require.Len(t, c.Groups, 2)
	most := c.Groups[0]
	assert.Equal(t, 4, most.Count)
	assert.Equal(t, "sync.Mutex.Lock", most.Waits)
	assert.Equal(t, "quit_unix_test.go:84", most.At)
	assert.Equal(t, []string{"root/locks-0", "root/locks-1", "root/locks-2", "root/locks-3"}, names(most))
	assert.Equal(t, []string{"root/holds"}, names(c.Groups[1]))
	assert.GreaterOrEqual(t, c.Goroutines, 5)
}

// A program hangs and is killed. Its log says how long it lived, since when nothing has moved,
// and what waits where.
func TestHangIsSeenInTheLog(t *testing.T) {
	for _, mode := range []string{"default", "durable"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := tempLog(t)
			c := startChild(t, "TestHangs", "SIGKILL", mode, path)
			ready := time.Now()
			require.Eventually(t, func() bool {
				log, _ := os.ReadFile(path)
				return len(read(t, log).Censuses) > 0
			}, 20*time.Second, 50*time.Millisecond)
			for time.Since(ready) < 3*time.Second {
				time.Sleep(50 * time.Millisecond)
			}
			killed := time.Now()
			require.NoError(t, c.Process.Kill())
			_, _ = c.end()
			h, _ := readFile(t, path)
			p := h.Processes[0]
			assert.False(t, p.Closed)
			assert.InDelta(t, killed.Sub(h.Started).Seconds(), p.Until.Seconds(), 1.9, "to within a second, on a busy machine")
			assert.LessOrEqual(t, p.Until, killed.Sub(h.Started)+time.Second/10)
			assert.LessOrEqual(t, p.Moved, ready.Sub(h.Started))
			assert.Len(t, unfinished(h), 6)
			require.Len(t, h.Censuses, 1)
			assert.Equal(t, "nothing has moved for 1s", h.Censuses[0].Why)
			checkHang(t, h.Censuses[0])
			t.Logf("lived %v (log: %v), moved last at %v, census at %v", killed.Sub(h.Started), p.Until, p.Moved, h.Censuses[0].At)
		})
	}
}

// At SIGQUIT the log gets a census, and then the signal has its usual effect.
func TestOnQuitWritesACensus(t *testing.T) {
	for _, how := range []string{"one", "two", "handled"} {
		for _, mode := range []string{"default", "durable"} {
			t.Run(how+"/"+mode, func(t *testing.T) {
				t.Parallel()
				path := tempLog(t)
				c := startChild(t, "TestHangs", how, mode, path)
				require.NoError(t, c.Process.Signal(syscall.SIGQUIT))
				text, err := c.end()
				paths := []string{path}
				if how == "two" {
					paths = append(paths, path+".other")
				}
				for _, path := range paths {
					h, _ := readFile(t, path)
					require.Len(t, h.Censuses, 1, text)
					assert.Equal(t, "SIGQUIT", h.Censuses[0].Why)
					checkHang(t, h.Censuses[0])
					assert.Equal(t, how == "handled", h.Closed)
				}
				if how == "handled" {
					require.NoError(t, err, text)
					assert.Contains(t, text, "received quit and quit\nand later quit", "the later one makes no census")
					return
				}
				exit, ok := errors.AsType[*exec.ExitError](err)
				require.True(t, ok, "%v: %s", err, text)
				assert.Equal(t, 2, exit.ExitCode())
				assert.Contains(t, text, "SIGQUIT: quit")
				assert.Contains(t, text, "sync.(*Mutex).Lock", "the dump of Go")
			})
		}
	}
}

// A SIGQUIT that the program ignores stays ignored.
func TestOnQuitLeavesAnIgnoredSignalAlone(t *testing.T) {
	signal.Ignore(syscall.SIGQUIT)
	defer signal.Reset(syscall.SIGQUIT)
	rec := record.New(io.Discard, record.OnQuit())
	assert.True(t, signal.Ignored(syscall.SIGQUIT))
	require.NoError(t, rec.Close())
	assert.True(t, signal.Ignored(syscall.SIGQUIT))
}
