package actor

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// An entry is this actor's own, at the registrar.
type entry struct {
	conn *net.UnixConn
	once sync.Once
}

// enroll makes this actor one that can be found. Who has found it is served by h.
func enroll(path string, id ID, h *host) (*entry, error) {
	conn, err := dialRegistrar(path)
	if err != nil {
		return nil, err
	}
	err = writeNote(conn, note{Op: "register", Name: id.Name(), ID: id}, nil)
	if err == nil {
		_, _, err = readNote(conn)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("traigo: actor: the registrar %s does not answer: %w", path, err)
	}
	go func() {
		for {
			n, file, err := readNote(conn)
			if err != nil {
				return
			}
			if n.Op != "connect" || file == nil {
				continue
			}
			peer, err := net.FileConn(file)
			_ = file.Close()
			if err == nil {
				h.serve(peer, false)
			}
		}
	}()
	return &entry{conn: conn}, nil
}

func (e *entry) close() {
	if e != nil {
		e.once.Do(func() { _ = e.conn.Close() })
	}
}

func dialRegistrar(path string) (*net.UnixConn, error) {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("traigo: actor: the registrar cannot be reached: %w", err)
	}
	if !isOurUser(conn) {
		_ = conn.Close()
		return nil, fmt.Errorf("traigo: actor: the registrar %s belongs to another user", path)
	}
	return conn, nil
}

// Find returns an actor of this tree that was started with [Findable], by its name; of several
// the one that was started last. If there is none, the error wraps [ErrNotFound]. It is found
// from any process of the tree, and of other trees on the host with the same registrar: see
// [Registrar].
//
// The connection is a task of s that s does not wait for, and whose failure cancels nothing. It
// ends with s, and with the actor. What may be run is what the actor exposes. Cancel asks the
// actor to end, as its parent would. Find panics if ctx or s is nil, and for a name that is empty
// or contains a slash.
func Find(ctx context.Context, s *traigo.Scope, name string) (*Actor, error) {
	return find(ctx, s, "Find", "find", name)
}

// Wait is [Find], when there is such an actor.
func Wait(ctx context.Context, s *traigo.Scope, name string) (*Actor, error) {
	return find(ctx, s, "Wait", "wait", name)
}

func find(ctx context.Context, s *traigo.Scope, call, op, name string) (*Actor, error) {
	if ctx == nil || s == nil {
		panic(fmt.Sprintf("traigo: actor.%s(%q): ctx or s is nil", call, name))
	}
	mustBeName(call, name)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if op == "wait" { // the registrar is there as long as somebody waits
		_, leave, err := here.enter()
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	path := Registrar()
	if path == "" {
		return nil, fmt.Errorf("%q: %w", name, ErrNotFound)
	}
	conn, id, err := ask(ctx, path, op, name)
	if err != nil {
		return nil, err
	}
	a, err := reach(ctx, s, name, false, func(context.Context) (*link, ID, error) {
		l, err := connectTo(conn)
		return l, id, err
	})
	if err != nil {
		_ = conn.Close() // s has refused the task, say
	}
	return a, err
}

// ask asks the registrar for a connection with an actor.
func ask(ctx context.Context, path, op, name string) (net.Conn, ID, error) {
	conn, err := dialRegistrar(path)
	if err != nil {
		return nil, ID{}, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	var n note
	var file *os.File
	err = writeNote(conn, note{Op: op, Name: name, ID: Self()}, nil)
	if err == nil {
		n, file, err = readNote(conn)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ID{}, context.Cause(ctx)
	case err != nil:
		return nil, ID{}, fmt.Errorf("traigo: actor: the registrar has gone: %w", err)
	case n.Op == "none" || file == nil:
		return nil, ID{}, fmt.Errorf("%q: %w", name, ErrNotFound)
	}
	defer func() { _ = file.Close() }()
	peer, err := net.FileConn(file)
	return peer, n.ID, err
}
