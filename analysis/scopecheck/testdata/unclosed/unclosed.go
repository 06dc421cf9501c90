package unclosed

import (
	"context"
	"errors"
	"log"
	"os"
	"testing"

	"github.com/traigo/traigo"
)

var (
	errBad = errors.New("bad")
	kept   *traigo.Scope
)

type server struct{ scope *traigo.Scope }

func work(ctx context.Context) error { return ctx.Err() }

func setUp(int) error { return nil }

func neverWaited(ctx context.Context) {
	s := traigo.New(ctx) // want `s is never waited for: .* call its Wait or Close on each path and look at the error`
	s.Spawn(work)
}

func canceledOnly(ctx context.Context) {
	s := traigo.New(ctx) // want `s is never waited for`
	s.Spawn(work)
	s.Cancel(errBad)
}

func leftEarly(ctx context.Context) (*server, error) {
	s := traigo.New(ctx) // want `s is not waited for if the function returns in line 39`
	s.Spawn(work)
	if err := setUp(1); err != nil {
		return nil, err
	}
	return &server{s}, nil
}

func leftEarlyByTheEnd(ctx context.Context, n int) {
	s := traigo.New(ctx) // want `s is not waited for if the function returns in line 49`
	if n > 0 {
		_ = s.Wait()
	}
}

func declared(ctx context.Context) error {
	var s = traigo.New(ctx) // want `s is not waited for if the function returns in line 54`
	if err := setUp(1); err != nil {
		return err
	}
	return s.Wait()
}

func oneOfTwo(ctx context.Context) error {
	a, b := traigo.New(ctx), traigo.New(ctx) // want `b is never waited for`
	b.Spawn(work)
	return a.Wait()
}

func byAVariable(ctx context.Context) {
	open := traigo.New
	s := open(ctx) // want `s is never waited for`
	s.Spawn(work)
}

func byAMethodExpression(ctx context.Context, parent *traigo.Scope) {
	s := (*traigo.Scope).Fork(parent) // want `s is never waited for`
	(*traigo.Scope).Spawn(s, work)
}

func inALiteral(ctx context.Context) func() {
	return func() {
		s := traigo.New(ctx) // want `s is never waited for`
		s.Spawn(work)
	}
}

func inALoop(ctx context.Context, parent *traigo.Scope, conns chan int) {
	for n := range conns {
		conn := parent.Fork() // want `conn is not waited for on a path that comes back here, .* call its Finalize, Wait or Close`
		conn.Spawn(work)
		if n > 0 {
			conn.Finalize()
		}
	}
}

func reached(ctx context.Context, parent *traigo.Scope) {
	for {
		conn := parent.Fork() // want `conn is never waited for`
		conn.Spawn(work)
	}
}

func reachedAgain(ctx context.Context, parent *traigo.Scope) {
	for {
		conn := parent.Fork() // want `conn is not waited for on a path that comes back here`
		if conn.Name() == "" {
			conn.Finalize()
		}
	}
}

func dropped(ctx context.Context, parent *traigo.Scope) {
	traigo.New(ctx)            // want `the scope that New opens is dropped`
	_ = traigo.New(ctx)        // want `the scope that New opens is dropped`
	parent.Fork()              // want `the scope that Fork opens is dropped`
	(parent.Fork())            // want `the scope that Fork opens is dropped`
	parent.Fork().Spawn(work)  // want `the scope that Fork opens is dropped after Spawn`
	traigo.New(ctx).Finalize() // want `the scope that New opens is dropped after Finalize`
}

func captured(ctx context.Context) {
	s := traigo.New(ctx) // want `s is never waited for`
	s.Spawn(func(ctx context.Context) error {
		s.Spawn(work)
		return nil
	})
}

// What follows is right.

func waited(ctx context.Context) error {
	s := traigo.New(ctx)
	s.Spawn(work)
	return s.Wait()
}

func deferred(ctx context.Context) (err error) {
	s := traigo.New(ctx)
	defer func() { err = errors.Join(err, s.Close()) }()
	s.Spawn(work)
	return setUp(1)
}

func inEachCase(ctx context.Context, n int) error {
	s := traigo.New(ctx)
	switch n {
	case 0:
		return s.Close()
	case 1:
		return s.Shutdown(ctx)
	case 2:
		<-s.Done()
		return s.Err()
	}
	if n < 0 {
		panic("negative")
	}
	if n > 100 {
		log.Fatal("large")
	}
	if n > 10 {
		os.Exit(1)
	}
	return (*traigo.Scope).Wait(s)
}

func forked(parent *traigo.Scope) {
	a, b := parent.Fork(), parent.Fork()
	a.Spawn(work)
	a.Finalize()
	b.Cancel(nil)
	parent.Fork().Finalize()
}

func handedOn(ctx context.Context) { run(traigo.New(ctx)) }

func run(s *traigo.Scope) { _ = s.Wait() }

func passed(ctx context.Context) {
	s := traigo.New(ctx)
	run(s)
}

func returned(ctx context.Context) *traigo.Scope {
	s := traigo.New(ctx)
	s.Spawn(work)
	return s
}

func result(ctx context.Context) (s *traigo.Scope) {
	s = traigo.New(ctx)
	s.Spawn(work)
	return
}

func stored(ctx context.Context, srv *server, scopes map[int]*traigo.Scope, c chan *traigo.Scope) {
	srv.scope = traigo.New(ctx)
	scopes[1] = traigo.New(ctx)
	c <- traigo.New(ctx)
	kept = traigo.New(ctx)
	s := traigo.New(ctx)
	srv.scope = s
	p := traigo.New(ctx)
	q := &p
	_ = q
}

func byAnother(ctx context.Context) {
	s := traigo.New(ctx)
	stop := s.Close
	defer func() { _ = stop() }()
}

func byAGoroutine(ctx context.Context, parent *traigo.Scope) {
	s := traigo.New(ctx)
	parent.Spawn(func(context.Context) error { return s.Wait() })
	t := traigo.New(ctx)
	go func() { log.Print(t.Wait()) }()
}

func inTests(t *testing.T) {
	s := traigo.New(t.Context())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	r := traigo.New(t.Context())
	if r.Name() == "" {
		t.Fatal("it ends here")
	}
	_ = r.Close()
}

func oneOf(ctx context.Context, parent *traigo.Scope) error {
	var s *traigo.Scope
	if parent != nil {
		s = parent.Fork()
	} else {
		s = traigo.New(ctx)
	}
	s.Spawn(work)
	return s.Wait()
}

func ownOrGiven(ctx context.Context, given *traigo.Scope) {
	s := given
	if s == nil {
		s = traigo.New(ctx)
	}
	s.Spawn(work)
}

func maybe(ctx context.Context, is bool) (err error) {
	var s *traigo.Scope
	defer func() {
		if s != nil {
			err = s.Close()
		}
	}()
	if is {
		s = traigo.New(ctx)
		s.Spawn(work)
	}
	return nil
}

func forever(ctx context.Context) {
	s := traigo.New(ctx)
	defer s.Cancel(nil)
	for {
		if s.Err() != nil {
			<-s.Done()
		}
	}
}

func asContext(ctx context.Context) (context.Context, func()) {
	s := traigo.New(ctx)
	return s.Context(), func() { s.Cancel(nil) }
}

// The scope above ends, and joins what is below.

func below(ctx context.Context) error {
	server := traigo.New(ctx)
	conn := server.Fork()
	conn.Spawn(work)
	server.Fork().Spawn(work)
	deep := server.Fork().Fork()
	deep.Spawn(work)
	beside := traigo.New(server.Context())
	beside.Spawn(work)
	return server.Close()
}

// Another type has a function of the same name.

type other struct{}

func (other) Fork() *other { return nil }
func New() *other          { return nil }

func others() {
	New()
	other{}.Fork()
}
