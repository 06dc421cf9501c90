package temporal_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

func TestMisusePanics(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	e := connect(t)
	fn := func(_ context.Context, n int) (int, error) { return n, nil }
	ok := temporal.Func("ok", fn)
	twin := temporal.Func("ok", fn)
	var none *temporal.Function[int, int]
	work := func(ctx context.Context, e *temporal.Engine, queue string, with ...temporal.WorkOption) func() {
		return func() { _ = temporal.Work(ctx, e, queue, with...) }
	}
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue)
		require.NoError(t, err)
		for what, misuse := range map[string]func(){
			"Connect, nil context":  func() { _, _ = temporal.Connect(nil) }, //nolint:staticcheck // on purpose
			"Connect, nil function": func() { _, _ = temporal.Connect(ctx, nil) },

			"Func, no name":      func() { temporal.Func("", fn) },
			"Func, invalid name": func() { temporal.Func("\xff", fn) },
			"Func, nil function": func() { temporal.Func[int, int]("nil", nil) },
			"Func, nil option":   func() { temporal.Func("nil", fn, nil) },
			"Retry, negative":    func() { temporal.Retry(-1) },
			"Retry, two whens":   func() { temporal.Retry(1, func(error) bool { return true }, func(error) bool { return true }) },
			"Retry, nil when":    func() { temporal.Retry(1, nil) },

			"Run, nil context":         func() { _, _ = ok.Run(nil, r, 1) }, //nolint:staticcheck // on purpose
			"Run, nil Remote":          func() { _, _ = ok.Run(ctx, nil, 1) },
			"Run, nil function":        func() { _, _ = none.Run(ctx, r, 1) },
			"Run, nameless function":   func() { _, _ = new(temporal.Function[int, int]).Run(ctx, r, 1) },
			"Spawn, nil Remote":        func() { ok.Spawn(nil, 1) },
			"Spawn, nil function":      func() { none.Spawn(r, 1) },
			"Spawn, nameless function": func() { new(temporal.Function[int, int]).Spawn(r, 1) },
			"Async, nil Remote":        func() { ok.Async(nil, 1) },
			"Async, nil function":      func() { none.Async(r, 1) },
			"Async, nameless function": func() { new(temporal.Function[int, int]).Async(r, 1) },
			"Name, nil function":       func() { _ = none.Name() },

			"Work, nil context":       work(nil, e, queue, ok),
			"Work, nil Engine":        work(ctx, nil, queue, ok),
			"Work, no queue":          work(ctx, e, "", ok),
			"Work, no function":       work(ctx, e, queue),
			"Work, options only":      work(ctx, e, queue, temporal.Slots(1)),
			"Work, nil option":        work(ctx, e, queue, ok, nil),
			"Work, nil function":      work(ctx, e, queue, none),
			"Work, nameless function": work(ctx, e, queue, new(temporal.Function[int, int])),
			"Work, two of one name":   work(ctx, e, queue, ok, twin),
			"Work, the same twice":    work(ctx, e, queue, ok, ok),
			"Slots, 0":                func() { temporal.Slots(0) },
			"Slots, -1":               func() { temporal.Slots(-1) },

			"Open, nil Scope":  func() { _, _ = temporal.Open(nil, e, queue) },
			"Open, nil Engine": func() { _, _ = temporal.Open(s, nil, queue) },
			"Open, no queue":   func() { _, _ = temporal.Open(s, e, "") },
			"Open, nil option": func() { _, _ = temporal.Open(s, e, queue, nil) },
			"Lease, short":     func() { temporal.Lease(time.Second - 1) },
			"Lease, 0":         func() { temporal.Lease(0) },
			"InFlight, 0":      func() { temporal.InFlight(0) },
			"InFlight, -1":     func() { temporal.InFlight(-1) },
			"Resume, no id":    func() { temporal.Resume("") },
		} {
			func() {
				defer func() {
					value := fmt.Sprint(recover())
					require.True(t, strings.HasPrefix(value, "traigo:"), "%s: %s", what, value)
				}()
				misuse()
			}()
		}
		return nil
	}))
	require.NotPanics(t, func() {
		temporal.Lease(time.Second)
		temporal.InFlight(1)
		temporal.Slots(1)
		temporal.Retry(0)
	})
}
