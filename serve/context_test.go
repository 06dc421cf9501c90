package serve_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

// leaving sends a request, leaves when the handler says that it runs, and returns when the
// handler has returned.
func leaving(t *testing.T, handler func(r *http.Request, running func())) *site {
	t.Helper()
	running, returned := make(chan struct{}), make(chan struct{})
	x := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		defer close(returned)
		handler(r, func() { close(running) })
	})
	c := x.dial()
	c.ask("GET", "/")
	received(t, running, "the request")
	require.NoError(t, c.conn.Close())
	received(t, returned, "the end of the handler")
	return x
}

func assertGone(t *testing.T, ctx context.Context) {
	t.Helper()
	cause := context.Cause(ctx)
	assert.ErrorContains(t, cause, "the client has gone")
	assert.ErrorIs(t, cause, context.Canceled)
	assert.ErrorIs(t, ctx.Err(), context.Canceled)
	why, ok := errors.AsType[*traigo.Cancellation](cause)
	if assert.True(t, ok, cause) {
		assert.Equal(t, traigo.Requested, why.Kind)
		assert.Equal(t, "site/requests/GET /", why.Task)
	}
}

func TestContextEndsWhenTheClientHasGone(t *testing.T) {
	for name, wait := range map[string]func(ctx context.Context){
		"Done": func(ctx context.Context) { <-ctx.Done() },
		"Err": func(ctx context.Context) {
			for ctx.Err() == nil {
				runtime.Gosched()
			}
		},
		"Cause": func(ctx context.Context) {
			for context.Cause(ctx) == nil {
				runtime.Gosched()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := leaving(t, func(r *http.Request, running func()) {
				running()
				wait(r.Context())
				assertGone(t, r.Context())
				<-r.Context().Done()
			})
			until(t, "the end of the request", x.isQuiet)
			require.NoError(t, x.scope.Shutdown(t.Context()))
		})
	}
}

func TestContextsDerivedFromThatOfARequestEndToo(t *testing.T) {
	for name, derive := range map[string]func(ctx context.Context) (context.Context, func()){
		"WithCancel": func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancel(ctx)
			return ctx, cancel
		},
		"WithTimeout": func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(ctx, time.Hour)
			return ctx, cancel
		},
		"WithValue of WithCancelCause": func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			return context.WithValue(ctx, http.LocalAddrContextKey, 1), func() { cancel(nil) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			leaving(t, func(r *http.Request, running func()) {
				ctx, cancel := derive(r.Context())
				defer cancel()
				running()
				<-ctx.Done()
				assertGone(t, ctx)
			})
		})
	}
}

func TestFunctionsRunAfterTheClientHasGone(t *testing.T) {
	leaving(t, func(r *http.Request, running func()) {
		called, kept := make(chan struct{}), false
		context.AfterFunc(r.Context(), func() { close(called) })
		stop := context.AfterFunc(r.Context(), func() { kept = true })
		assert.True(t, stop())
		assert.False(t, stop())
		running()
		<-called
		assertGone(t, r.Context())
		assert.False(t, kept)
	})
}

func TestScopesOfAHandlerEndWhenTheClientHasGone(t *testing.T) {
	x := leaving(t, func(r *http.Request, running func()) {
		err := traigo.Run(r.Context(), func(_ context.Context, s *traigo.Scope) error {
			for range 10 {
				s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			}
			s.Spawn(func(ctx context.Context) error {
				running()
				<-ctx.Done()
				assertGone(t, r.Context())
				assert.ErrorContains(t, context.Cause(ctx), "the client has gone")
				return ctx.Err()
			})
			return nil
		})
		assert.ErrorContains(t, err, "the client has gone")
		assert.ErrorIs(t, err, context.Canceled)
	})
	assert.Equal(t, traigo.Open, x.scope.State(), "the others go on")
	require.NoError(t, x.scope.Shutdown(t.Context()))
}

// Contexts of package context are attached by AfterFunc, and end in the call that ends the
// context of the task.
func TestDerivedContextsNeedNoGoroutine(t *testing.T) {
	const n = 200
	x := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		before := runtime.NumGoroutine()
		var all []context.Context
		for range n {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			all = append(all, ctx)
		}
		assert.Less(t, runtime.NumGoroutine(), before+n/2)
		traigo.CurrentTask(r.Context()).Cancel(errBoom)
		for _, ctx := range all {
			assert.ErrorIs(t, context.Cause(ctx), errBoom, "at once")
		}
	})
	status, _ := x.get("/")
	assert.Equal(t, http.StatusOK, status)
}

func TestContextOfARequestEndsWithItsHandler(t *testing.T) {
	for name, handler := range map[string]func(ctx context.Context){
		"asked":       func(ctx context.Context) { _ = ctx.Done() },
		"never asked": func(context.Context) {},
	} {
		t.Run(name, func(t *testing.T) {
			contexts := make(chan context.Context, 1)
			x := serving(t, func(_ http.ResponseWriter, r *http.Request) {
				handler(r.Context())
				contexts <- r.Context()
			})
			x.get("/")
			ctx := received(t, contexts, "the context")
			received(t, ctx.Done(), "the end of the context")
			require.ErrorIs(t, ctx.Err(), context.Canceled)
			require.Error(t, context.Cause(ctx))
			assert.NotContains(t, context.Cause(ctx).Error(), "client")
			assert.NoError(t, traigo.CurrentTask(ctx).Err())
			assert.NoError(t, traigo.CurrentTask(ctx).Cause())
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			received(t, derived.Done(), "the end of a context derived from it")
		})
	}
}

// The client may leave while goroutines of the handler ask, and while the handler returns.
func TestStressContextIsAskedAtAnyMoment(t *testing.T) {
	var left sync.WaitGroup
	x := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		for range 4 {
			left.Go(func() {
				derived, cancel := context.WithCancel(ctx)
				defer cancel()
				stop := context.AfterFunc(ctx, func() {})
				_ = ctx.Err()
				_ = context.Cause(ctx)
				stop()
				<-derived.Done()
				assert.Error(t, ctx.Err())
				assert.Error(t, context.Cause(derived))
				<-ctx.Done()
			})
		}
		if r.URL.Path == "/wait" {
			<-ctx.Done()
		}
	})
	for i := range 200 {
		c := x.dial()
		c.ask("GET", []string{"/wait", "/return"}[i%2])
		if i%3 == 0 {
			until(t, "a request", func() bool { return i%2 == 1 || !x.isQuiet() })
		}
		require.NoError(t, c.conn.Close())
	}
	until(t, "the end of the requests", x.isQuiet)
	require.NoError(t, x.scope.Shutdown(t.Context()))
	left.Wait()
}

func TestContextOfTheProgramIsHeard(t *testing.T) {
	base, cancel := context.WithCancelCause(t.Context())
	causes := make(chan error, 1)
	x := open(t, &http.Server{
		BaseContext: func(net.Listener) context.Context { return base },
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			causes <- context.Cause(r.Context())
		}),
	}, nil)
	waiting := x.send("/")
	until(t, "a request", func() bool { return len(x.names()) == 1 })
	cancel(errBoom)
	require.ErrorIs(t, received(t, causes, "the cause"), errBoom)
	received(t, waiting, "the response")
}

// The scope that BaseContext brings is not the one that requests run in.
func TestScopeOfTheServerIsNearerThanThatOfBaseContext(t *testing.T) {
	err := traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
		x := open(t, &http.Server{
			BaseContext: func(net.Listener) context.Context { return ctx },
			Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "site/requests", serve.RequestScope(r).Path())
				assert.True(t, strings.HasPrefix(traigo.CurrentTask(r.Context()).Path(), "site/requests/"))
			}),
		}, nil)
		x.get("/")
		return nil
	})
	require.NoError(t, err)
}

func TestDeadlineOfTheScopeIsThatOfTheRequest(t *testing.T) {
	x := open(t, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		deadline, ok := r.Context().Deadline()
		assert.True(t, ok)
		assert.WithinDuration(t, time.Now().Add(time.Hour), deadline, time.Minute)
	})}, []traigo.ScopeOption{traigo.Timeout(time.Hour)})
	status, _ := x.get("/")
	assert.Equal(t, http.StatusOK, status)
}
