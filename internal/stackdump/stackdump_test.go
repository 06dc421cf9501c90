package stackdump_test

import (
	"context"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/internal/stackdump"
)

type worker struct{ running, end chan struct{} }

// work is what the tests look for on stacks.
//
//go:noinline
func (w *worker) work() {
	close(w.running)
	<-w.end
}

const workFrame = "stackdump_test.(*worker).work("

func started(t *testing.T) *worker {
	t.Helper()
	w := &worker{make(chan struct{}), make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.work()
	}()
	<-w.running
	t.Cleanup(func() { close(w.end); <-ended })
	return w
}

func TestFindTellsStacksApartByTheirReceivers(t *testing.T) {
	a, b := started(t), started(t)
	stacks := stackdump.Find(stackdump.All(), workFrame)
	require.Len(t, stacks, 2)
	for _, w := range []*worker{a, b} {
		assert.Contains(t, stacks.Of(w), "worker).work(")
		assert.Equal(t, 1, strings.Count(stacks.Of(w), "[chan receive"), "one stack")
	}
	assert.NotEqual(t, stacks.Of(a), stacks.Of(b))
	assert.Empty(t, stacks.Of(&worker{}))
	assert.Empty(t, stackdump.Stacks(nil).Of(a))
}

func TestOwnIsTheStackOfTheCaller(t *testing.T) {
	started(t)
	text := string(stackdump.Own())
	assert.Contains(t, text, "TestOwnIsTheStackOfTheCaller")
	assert.Empty(t, stackdump.Find([]byte(text), workFrame))
}

// The first line of a stack may have labels, which are text that users choose.
func TestFindIgnoresLabels(t *testing.T) {
	const address = "0xc000123450"
	dump := "goroutine 7 [running] labels:{\"x\":\"" + workFrame + address + "\"}:\nmain.main()\n\t/main.go:1\n\n" +
		"goroutine 8 [running]:\n" + workFrame + "0xc000abc000)\n\t/w.go:1\n"
	stacks := stackdump.Find([]byte(dump), workFrame)
	assert.Len(t, stacks, 1)
	assert.NotContains(t, stacks, address)
}

// Labels come before the frames, and may be longer than the first buffer.
func TestOwnIsWholeAlsoBehindLongLabels(t *testing.T) {
	t.Setenv("GODEBUG", "tracebacklabels=1")
	labels := pprof.Labels("long", strings.Repeat("x", 1<<17))
	pprof.Do(context.Background(), labels, func(context.Context) {
		assert.Contains(t, string(stackdump.Own()), "TestOwnIsWholeAlsoBehindLongLabels")
	})
}
