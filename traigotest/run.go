package traigotest

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/traigo/traigo"
)

const (
	defaultPatience = 10 * time.Second
	grace           = time.Second // for what has been canceled

	// A body has no limit of its own, but must not hang unseen. In a bubble,
	// where no deadline is known and time is free, it is over soon enough.
	forever = 365 * 24 * time.Hour
)

// Run runs body in a scope, as [traigo.Run] does, and returns when everything in
// it has ended. The scope is named after the test, and its context is derived from
// t.Context. Run must be called on the goroutine of the test, which is the one that
// body runs on.
//
// The test fails
//   - with each error of the outcome, by the path of its task. So it does with an
//     error that the scope would log as lost: that of a fork which nobody has asked,
//     say;
//   - with the stack of a panic, of a task or of body. Other tests go on. After a
//     panic of body, this one does not;
//   - if something awaited still runs when the patience is over: 10 seconds after
//     body has returned, or what [Patience] says, and in any case shortly before
//     the deadline of the test. The test shows the tree and the stacks, and the
//     scope is canceled. In a bubble the clock is that of the bubble, so a task that
//     is blocked for ever costs no time;
//   - with the stack of a task that does not end within a second of being canceled,
//     for whatever reason. It is given up; [traigo.CancelTimeout] changes the time.
//     (A bubble waits for it all the same: if it is blocked for ever, synctest shows
//     this, and ends the process);
//   - if a call that [traigo.Blocking] has abandoned does not end within the patience.
//
// t.FailNow and t.SkipNow, and so the functions of package require, may be called
// in body and in tasks of any kind. All that runs is then canceled and joined,
// and the test ends.
//
// Options are added to those that Run needs. A [traigo.Logger] replaces one that
// writes warnings to the log of the test, and takes lost errors in its place.
func Run(t testing.TB, body func(ctx context.Context, s *traigo.Scope), opts ...traigo.ScopeOption) {
	t.Helper()
	if body == nil {
		panic("traigotest: Run: nil function; pass the body of the test")
	}
	own, d := takePatience(opts)
	_, file, line, _ := runtime.Caller(1)
	w := newWatch(t, fmt.Sprintf("%s:%d", filepath.Base(file), line), d)
	goesOn := false
	// Deferred, since t.FailNow in body does not come back.
	defer func() {
		t.Helper()
		if w.scope == nil {
			return // a wrong option has panicked
		}
		v := w.verdict()
		v.tell(w, !goesOn)
		if goesOn && v.stop != nil {
			v.stop()
		}
	}()
	_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		w.call(ctx, s, body)
		return nil
	}, append(w.options(), own...)...)
	goesOn = true
}
