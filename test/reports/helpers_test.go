package reports_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

var errBoom = errors.New("boom")

// untilCanceled is a task that waits for its cancellation and says no more than that.
func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// failAfter is a task that fails after d, unless it is canceled before.
func failAfter(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := traigo.Sleep(ctx, d); err != nil {
			return err
		}
		return errBoom
	}
}

// assertTook compares with the time that has passed in the bubble.
func assertTook(t *testing.T, want time.Duration, start time.Time) {
	t.Helper()
	assert.Equal(t, want, time.Since(start), "elapsed time")
}

// requireOutcome returns the outcome of a scope that failed.
func requireOutcome(t *testing.T, err error) *traigo.Error {
	t.Helper()
	var outcome *traigo.Error
	require.ErrorAs(t, err, &outcome)
	return outcome
}

// assertOf wants err to be that of the named task.
func assertOf(t *testing.T, err error, task string, want error) {
	t.Helper()
	var failed *traigo.TaskError
	if assert.ErrorAs(t, err, &failed) {
		assert.Equal(t, task, failed.Task)
		assert.Equal(t, want, failed.Err)
	}
}

// journal is a log of what is at least as severe as INFO.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) option() traigo.ScopeOption {
	return traigo.Logger(slog.New(slog.NewTextHandler(j, nil)))
}

// read returns the log. What the goroutines of the bubble do now is in it.
func (j *journal) read() string {
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
