package record_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

var process = regexp.MustCompile(`"run":"[0-9a-f]{8}","pid":[0-9]+,"go":"[^"]+"(,"program":"[^"]*")?`)

// The clock of a bubble always begins at the same time. So a log is the same in each run,
// except for what describes the process.
func TestLogIsTheSameEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		server, conn := chat(rec)
		require.NoError(t, rec.Close())

		log := process.ReplaceAll(out.log(), []byte("…"))
		log = regexp.MustCompile(`"stack":"[^"]*"`).ReplaceAll(log, []byte(`"stack":"…"`))
		log = regexp.MustCompile(`tick\\n\\n[^"]*"`).ReplaceAll(log, []byte(`tick…"`))
		want := fmt.Sprintf(`{"traigo":2,"t0":"2000-01-01T00:00:00Z",…}
{"t":0,"k":"scope","id":%[1]d,"n":"server"}
{"t":0,"k":"spawn","s":%[1]d,"id":1,"n":"accept","f":"bw"}
{"t":0,"k":"start","s":%[1]d,"id":1}
{"t":0,"k":"scope","id":%[2]d,"in":%[1]d,"by":1,"n":"conn","dl":5000000000}
{"t":0,"k":"spawn","s":%[2]d,"id":1,"n":"read","f":"bmw"}
{"t":0,"k":"start","s":%[2]d,"id":1}
{"t":1000000,"k":"finalize","id":%[2]d}
{"t":2000000,"k":"spawn","s":%[1]d,"id":2,"n":"tick"}
{"t":2000000,"k":"start","s":%[1]d,"id":2}
{"t":1002000000,"k":"beat"}
{"t":2002000000,"k":"beat"}
{"t":3002000000,"k":"beat"}
{"t":4002000000,"k":"beat"}
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

// There is a state for each way in which a task can end.
func TestEndStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(rec), traigo.PanicAsError())
		alone := traigo.Bubble(false)
		s.Spawn(nop, traigo.Name("ok"))
		s.Spawn(fail, traigo.Name("failed"), alone)
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

func TestErrorsThatMisbehave(t *testing.T) {
	for _, opts := range modes {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			rec := record.New(&out, opts...)
			s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(rec))
			alone := traigo.Bubble(false)
			free := make(chan struct{})
			s.Spawn(func(context.Context) error { return badError(func() string { panic("in Error") }) }, traigo.Name("panics"), alone)
			s.Spawn(func(context.Context) error { return badError(func() string { <-free; return "freed" }) }, traigo.Name("blocks"), alone)
			s.Spawn(func(context.Context) error {
				return badError(func() string { _ = s.Fork().Close(); return "called back" })
			}, traigo.Name("calls back"), alone)
			s.Spawn(func(context.Context) error { return (*traigo.Error)(nil) }, traigo.Name("nil pointer"), alone)
			time.Sleep(time.Second)
			assert.Equal(t, history.TaskFailed, taskOf(read(t, out.log()), "s/panics").State, "though another blocks")
			close(free)
			require.NoError(t, s.Wait())
			require.NoError(t, rec.Close())
			h := read(t, out.log())
			assert.Empty(t, unfinished(h))
			assert.Contains(t, taskOf(h, "s/panics").Err, "panicked: in Error")
			assert.Equal(t, "freed", taskOf(h, "s/blocks").Err)
			assert.Equal(t, "called back", taskOf(h, "s/calls back").Err)
			assert.Equal(t, history.TaskFailed, taskOf(h, "s/nil pointer").State)
		})
	}
}

// The error of a cancellation is written once: with the scope that it comes from, or with
// the outermost recorded scope that it reaches.
func TestCauseIsWrittenWhereItComesFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		cause := errors.New("outside")
		causeOf := func(name string) string {
			for _, s := range read(t, out.log()).Scopes {
				if s.Name == name {
					return s.Cause.Kind + ": " + s.Cause.Err
				}
			}
			return ""
		}
		wait := func(ctx context.Context, _ *traigo.Scope) error {
			<-ctx.Done()
			return nil
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		root := traigo.New(ctx, traigo.Name("root"), traigo.Observe(rec))
		root.Fork(traigo.Name("below"))
		alone := root.Spawn(func(ctx context.Context) error { return traigo.Run(ctx, wait, traigo.Name("of a task")) })
		root.Spawn(func(ctx context.Context) error {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(errors.New("between"))
			return traigo.Run(ctx, wait, traigo.Name("of a context"))
		}, traigo.Bubble(false))
		synctest.Wait()
		alone.Cancel(errors.New("alone"))
		_ = alone.Wait(context.Background())
		cancel(cause)
		require.Error(t, root.Wait())
		require.NoError(t, rec.Close())
		assert.Equal(t, "parent canceled: outside", causeOf("root"))
		assert.Equal(t, "parent canceled: between", causeOf("of a context"))
		assert.Contains(t, causeOf("of a task"), "alone")
		assert.Contains(t, causeOf("below"), "parent canceled: ")
	})
}

// hostile has names that try to break the format.
var hostile = []string{
	"plain", `quotes " and \ back`, "line\nbreak\r\ttab", "\x00\x01\x1f\x7f", "\xff\xfe not UTF-8 \xc3(", "half \xe2\x82",
	"\u2028 and \u2029", "日本語 🙂", "</script><script>", "\ufffd is itself", "{\"k\":\"bye\"}\n",
	strings.Repeat("x", 10_000), strings.Repeat("日", 5_000), strings.Repeat("\xff", 5_000), strings.Repeat("\n", 4_096),
}

func TestNamesComeBackAsTheyWere(t *testing.T) {
	for _, name := range hostile {
		checkName(t, name)
	}
}

func FuzzNames(f *testing.F) {
	for _, name := range hostile {
		f.Add(name)
	}
	f.Fuzz(checkName)
}

// checkName records a name of a scope, of a task, and as the text of an error, and compares
// what is read.
func checkName(t *testing.T, name string) {
	t.Helper()
	if name == "" {
		return // the scope would get the default name
	}
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		_ = traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { return errors.New(name) }, traigo.Name(name))
			return nil
		}, traigo.Name(name), traigo.Observe(rec))
		require.NoError(t, rec.Close())
		for line := range bytes.Lines(out.log()) {
			require.True(t, json.Valid(line), "%q", line)
			require.True(t, utf8.Valid(line), "%q", line)
			require.NotContains(t, string(line), "\u2028")
		}
		h := read(t, out.log())
		assert.Zero(t, h.Damaged)
		require.Len(t, h.Scopes, 1)
		for _, text := range []string{h.Scopes[0].Name, h.Scopes[0].Tasks[0].Name, h.Scopes[0].Tasks[0].Err} {
			if len(name) <= 4096 {
				// Each byte that is not UTF-8 is replaced, as the standard library does.
				assert.Equal(t, string([]rune(name)), text)
				continue
			}
			kept, rest, cut := strings.Cut(text, "… (")
			var more int
			_, err := fmt.Sscanf(rest, "%d bytes more)", &more)
			require.NoError(t, err)
			assert.True(t, cut)
			assert.Equal(t, string([]rune(name[:len(name)-more])), kept)
			assert.LessOrEqual(t, len(name)-more, 4096)
			assert.Greater(t, len(name)-more, 4096-utf8.UTFMax)
		}
	})
}
