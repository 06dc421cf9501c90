package record_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

// chat is a program in which much happens, one thing after the other.
func chat(o traigo.Observer) (server, conn uint64) {
	step := func() { time.Sleep(time.Millisecond) }
	_ = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		server = s.ID()
		s.Spawn(func(ctx context.Context) error {
			_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				conn = s.ID()
				s.Spawn(func(ctx context.Context) error {
					<-ctx.Done()
					step()
					return ctx.Err()
				}, traigo.Name("read"), traigo.Master(true))
				step()
				return nil
			}, traigo.Name("conn"), traigo.Timeout(5*time.Second))
			step()
			return errors.New("accept: too many open files")
		}, traigo.Name("accept"))
		step()
		step()
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			step()
			panic("tick")
		}, traigo.Name("tick"), traigo.Bubble(false), traigo.Awaited(false))
		<-ctx.Done()
		step()
		step()
		return nil
	}, traigo.Name("server"), traigo.Observe(o), traigo.PanicAsError())
	return server, conn
}

var process = regexp.MustCompile(`"run":"[0-9a-f]{8}","pid":[0-9]+,"go":"[^"]+"(,"program":"[^"]*")?`)

// The clock of a bubble begins at the same moment each time, so that a log is the same to
// the byte, but for what is the process's.
func TestLogIsTheSameEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		server, conn := chat(rec)
		require.NoError(t, rec.Close())

		log := process.ReplaceAll(out.log(), []byte("…"))
		log = regexp.MustCompile(`"stack":"[^"]*"`).ReplaceAll(log, []byte(`"stack":"…"`))
		log = regexp.MustCompile(`tick\\n\\n[^"]*"`).ReplaceAll(log, []byte(`tick…"`))
		want := fmt.Sprintf(`{"traigo":1,"t0":"2000-01-01T00:00:00Z",…}
{"t":0,"k":"scope","id":%[1]d,"n":"server"}
{"t":0,"k":"spawn","s":%[1]d,"id":1,"n":"accept","f":"bw"}
{"t":0,"k":"start","s":%[1]d,"id":1}
{"t":0,"k":"scope","id":%[2]d,"in":%[1]d,"by":1,"n":"conn","dl":5000000000}
{"t":0,"k":"spawn","s":%[2]d,"id":1,"n":"read","f":"bmw"}
{"t":0,"k":"start","s":%[2]d,"id":1}
{"t":1000000,"k":"finalize","id":%[2]d}
{"t":2000000,"k":"spawn","s":%[1]d,"id":2,"n":"tick"}
{"t":2000000,"k":"start","s":%[1]d,"id":2}
{"t":5000000000,"k":"cancel","id":%[2]d,"why":"timeout","err":"\"server/conn\" timed out after 5s"}
{"t":5001000000,"k":"end","s":%[2]d,"id":1,"st":"canceled","err":"context deadline exceeded"}
{"t":5001000000,"k":"close","id":%[2]d,"err":"scope \"server/conn\": timed out after 5s"}
{"t":5002000000,"k":"end","s":%[1]d,"id":1,"st":"failed","err":"accept: too many open files"}
{"t":5002000000,"k":"cancel","id":%[1]d,"why":"task failed","by":1,"err":"accept: too many open files"}
{"t":5003000000,"k":"end","s":%[1]d,"id":2,"st":"panicked","err":"tick","stack":"…"}
{"t":5004000000,"k":"close","id":%[1]d,"err":"scope \"server\": task \"accept\": accept: too many open files"}
{"t":5004000000,"k":"bye"}
`, server, conn)
		assert.Equal(t, strings.Split(want, "\n"), strings.Split(string(log), "\n"))
	})
}

func TestHistoryTellsWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		chat(rec)
		require.NoError(t, rec.Close())
		h := read(t, out.log())
		assert.True(t, h.Closed)
		assert.Zero(t, h.Lost())
		assert.Empty(t, unfinished(h))

		tick := taskOf(h, "server/tick")
		assert.Equal(t, history.TaskPanicked, tick.State)
		assert.Equal(t, "tick", tick.Err)
		assert.Contains(t, tick.Stack, "golden_test.go")
		assert.False(t, tick.Bubble || tick.Await || tick.Master)
		accept := taskOf(h, "server/accept")
		assert.Same(t, accept, h.Scopes[0].Cause.By)
		assert.Equal(t, []*history.Scope{h.Scopes[1]}, accept.Scopes)
	})
}

// Every way in which a task can end has a name.
func TestEndStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(rec), traigo.PanicAsError())
		alone := traigo.Bubble(false)
		s.Spawn(nop, traigo.Name("ok"))
		s.Spawn(func(context.Context) error { return errors.New("no") }, traigo.Name("failed"), alone)
		s.Spawn(func(context.Context) error { return errors.New("") }, traigo.Name("wordless"), alone)
		s.Spawn(untilCanceled, traigo.Name("canceled")).Cancel(nil)
		s.Spawn(func(context.Context) error { return traigo.ErrGoexit }, traigo.Name("exited"), alone)
		s.Spawn(func(context.Context) error { panic(errors.New("boom")) }, traigo.Name("panicked"))
		synctest.Wait()
		require.Error(t, s.Wait())
		require.NoError(t, rec.Close())

		h := read(t, out.log())
		for name, err := range map[string]string{
			"ok": "", "failed": "no", "canceled": "context canceled", "panicked": "boom",
			"exited": traigo.ErrGoexit.Error(),
		} {
			task := taskOf(h, "s/"+name)
			assert.Equal(t, name, string(task.State))
			assert.Equal(t, err, task.Err)
		}
		assert.NotEmpty(t, taskOf(h, "s/wordless").Err)
		assert.Equal(t, "task failed", h.Scopes[0].Cause.Kind)
		assert.Equal(t, "boom", h.Scopes[0].Cause.Err)
	})
}
