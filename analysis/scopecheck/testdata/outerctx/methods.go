package outerctx

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

func handler(w http.ResponseWriter, r *http.Request) {
	serve.RequestScope(r).Spawn(func(ctx context.Context) error { return work(r.Context()) })                      // want `the function given to Spawn uses r.Context\(\) from outside, which is not canceled with its own context, and is done when the handler of the request has returned`
	traigo.Current(r.Context()).Spawn(func(context.Context) error { return work(r.Context()) })                    // want `the function given to Spawn uses r.Context\(\)`
	s := serve.RequestScope(r)                                                                                     // a scope that others wait for
	_, _ = s.Start(r.Context(), func(_ context.Context, ready func()) error { return work((r).Context()) })        // want `the function given to Start uses r.Context\(\)`
	_, _ = traigo.Async(s, func(_ context.Context) (int, error) { return get(r.Context(), 1) }).Await(r.Context()) // want `the function given to Async uses r.Context\(\)`
}

func byScope(w http.ResponseWriter, r *http.Request) {
	ctx, s := r.Context(), serve.RequestScope(r)
	s.Spawn(func(context.Context) error { return work(ctx) }) // want `the function given to Spawn uses ctx`
	current := traigo.Current(ctx)
	current.Spawn(func(context.Context) error { return work(ctx) }) // want `the function given to Spawn uses ctx`
}

func inBody(w http.ResponseWriter, r *http.Request) error {
	return traigo.Run(r.Context(), func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error { return work(r.Context()) }) // want `the function given to Spawn uses r.Context\(\)`
		s.Spawn(func(context.Context) error {
			if err := work(r.Context()); err != nil { // want `the function given to Spawn uses r.Context\(\)`
				return work(r.Context())
			}
			short, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			return work(short)
		})
		return nil
	})
}

func byVariable(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	return traigo.FailAfter(ctx, time.Second, func(context.Context) error { return work(r.Context()) }) // want `the function given to FailAfter uses r.Context\(\)`
}

func nameIsTaken(r *http.Request) error {
	return traigo.Run(r.Context(), func(context.Context, *traigo.Scope) error {
		ctx := r.Context()
		return work(context.WithValue(r.Context(), 1, ctx)) // want `the body of Run uses r.Context\(\)`
	})
}

type stream interface{ Context() context.Context }

func streams(st stream) error {
	return traigo.Run(st.Context(), func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error { return work(st.Context()) }) // want `the function given to Spawn uses st.Context\(\)`
		return nil
	})
}

func tests(t *testing.T, s *traigo.Scope) {
	_ = traigo.Run(t.Context(), func(context.Context, *traigo.Scope) error { return work(t.Context()) }) // want `the body of Run uses t.Context\(\)`
}

func scopes(ctx context.Context, s *traigo.Scope) {
	s.Spawn(func(context.Context) error { return work(s.Context()) }) // want `the function given to Spawn uses s.Context\(\)`
	f := s.Fork()
	f.Spawn(func(context.Context) error { return work(s.Context()) }) // want `the function given to Spawn uses s.Context\(\)`
	f.Finalize()
}

// What follows is right.

func ofRequests(w http.ResponseWriter, r *http.Request) {
	s := serve.RequestScope(r)
	s.Spawn(func(ctx context.Context) error { return work(ctx) }, traigo.Values(r.Context()))
	s.Spawn(func(ctx context.Context) error {
		traigo.Current(r.Context()).Spawn(work)
		<-traigo.Stopping(r.Context())
		_ = r.Context().Value(1)
		return context.Cause(r.Context())
	})
	s.Spawn(func(own context.Context) error {
		<-own.Done()
		return work(r.Context())
	})
	s.Spawn(func(own context.Context) error {
		defer work(r.Context())
		if err := work(own); err != nil {
			return work(r.Context())
		}
		return nil
	})
	s.Spawn(func(own context.Context) error { // it waits for the client, or for its own end
		select {
		case <-r.Context().Done():
			return nil
		case <-own.Done():
			return own.Err()
		}
	})
	s.Spawn(func(own context.Context) error {
		r := r.WithContext(own) // another request
		return work(r.Context())
	})
	apart := r.WithContext(context.WithoutCancel(r.Context()))
	s.Spawn(func(context.Context) error { return work(apart.Context()) })
}

// The work is done for the caller, in a scope that was opened elsewhere.
func (p *pool) forTheRequest(r *http.Request) error {
	s := traigo.New(p.scope.Context())
	s.Spawn(func(context.Context) error { return work(r.Context()) })
	return s.Wait()
}

// Whether the scope was opened under the context, or the context was made from that of the scope,
// is not known; nor what that of a request is, which the function has made.
func notKnown(s, above *traigo.Scope, st stream, t *testing.T, short context.Context) {
	s.Spawn(func(context.Context) error { return work(st.Context()) })
	s.Spawn(func(context.Context) error { return work(t.Context()) })
	s.Spawn(func(context.Context) error { return work(above.Context()) })
	if req, err := http.NewRequestWithContext(short, http.MethodGet, "/", nil); err == nil {
		s.Spawn(func(context.Context) error { return work(req.Context()) })
	}
}

func ofScopes(ctx context.Context) error {
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			below := traigo.New(ctx)
			below.Spawn(work)
			return below.Wait()
		})
		s.Spawn(func(ctx context.Context) error { // what lives as long as the scope
			_ = work(s.Context())
			return work(ctx)
		})
		return work(s.Context())
	})
}

type maker struct{}

func (maker) Context(name string) context.Context { return context.WithValue(context.TODO(), 1, name) }

func notThatMethod(m maker) error {
	return traigo.Run(m.Context("run"), func(context.Context, *traigo.Scope) error { return work(m.Context("work")) })
}
