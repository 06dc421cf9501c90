package live_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

// A page of another site may lead to the page, but not have stacks dumped, nor take the
// streams, neither by a link nor by a frame.
func TestALinkFromAnotherSiteLeadsOnlyToTheTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		s.Spawn(untilCanceled)
		h := live.Handler(s)
		ask := func(target, dest string) int {
			r := httptest.NewRequest(http.MethodHead, target, http.NoBody)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", dest)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		assert.Equal(t, http.StatusForbidden, ask(fmt.Sprintf("/stack?scope=%d&task=1", s.ID()), "document"))
		assert.Equal(t, http.StatusForbidden, ask("/events", "document"))
		assert.Equal(t, http.StatusForbidden, ask("/", "iframe"))
		assert.Equal(t, http.StatusOK, ask("/", "document"))
	})
}

func TestALongPathIsFoundAsItIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		s.Fork(traigo.Name(strings.Repeat("x", 1500)))
		h := live.Handler(s)
		shown := decode(t, get(h, "/?format=json").Body.Bytes()).Roots[0].Below[0].Path
		w := get(h, "/?path="+url.QueryEscape(shown))
		assert.Equal(t, http.StatusOK, w.Code, w.Body.String())
	})
}

type badError struct{}

func (badError) Error() string { panic("bad Error") }

func TestAnErrorThatPanicsHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		s := opened(t)
		fork := s.Fork(traigo.Name("fork"))
		fork.Spawn(func(context.Context) error { <-end; return nil }, traigo.Name("deaf"))
		fork.Cancel(badError{})
		body := get(live.Handler(s), "/").Body.String()
		assert.Contains(t, body, "fork (canceling, 0s, requested: an error whose Error panics)")
		assert.Contains(t, body, "deaf")
		close(end)
		synctest.Wait()
	})
}

// deadlineWriter remembers the last write deadline.
type deadlineWriter struct {
	stream
	last time.Time
}

func (w *deadlineWriter) SetWriteDeadline(at time.Time) error { w.last = at; return nil }

// HTTP/2 resets a stream when its deadline passes, also if nothing is written then: where
// a look takes seconds there may be more than 10 between two events.
func TestTheDeadlineOfAnEventIsNotThatOfTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		ctx, cancel := context.WithCancel(t.Context())
		w := &deadlineWriter{stream: stream{ResponseRecorder: httptest.NewRecorder()}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/events", http.NoBody))
		}()
		synctest.Wait()
		assert.Contains(t, w.text(), "retry")
		assert.Zero(t, w.last, "while it waits")
		cancel()
		<-done
		assert.Equal(t, time.Now().Add(10*time.Second), w.last, "for what net/http writes at the end")
	})
}

// It was quadratic: 2 s for these.
func TestManyRootsAreTakenAtOnce(t *testing.T) {
	var roots []*traigo.Scope
	for range crowd {
		roots = append(roots, traigo.New(context.Background()))
	}
	begin := time.Now()
	live.Handler(roots...)
	assert.Less(t, time.Since(begin), time.Second)
}
