package actor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The registrar is a socket in the root process of a tree. An actor that is Findable keeps a
// connection with it. Who looks for one is given an end of a new pair of sockets, and the actor
// the other end: so actors have no addresses, and an entry ends with its process.

// registrarVariable names the socket of another tree's registrar, which is used then.
const registrarVariable = "TRAIGO_REGISTRAR"

const (
	folderPrefix = "traigo-"
	socketName   = "registrar"
	maxPath      = 100 // bytes in the address of a socket, of 108
)

// A note is what is said to the registrar, and by it: one message each.
type note struct {
	Op   string `json:"op"`             // "register", "find", "wait"; "ok", "none" or "connect"
	Name string `json:"name,omitempty"` // of the actor
	ID   ID     `json:"id,omitzero"`    // of who registers, or was found; of who asks in "connect"
}

const maxNote = 64 << 10

// A registrar is that of this process.
type registrar struct {
	folder   string
	listener *net.UnixListener

	mu      sync.Mutex
	entries []*registration // the last one of a name is found
	waiting map[chan struct{}]struct{}
	conns   map[*net.UnixConn]struct{}
	done    sync.WaitGroup
}

// A registration is an actor that can be found.
type registration struct {
	id   ID
	conn *net.UnixConn
}

// enter is called before an actor is started. It returns the path of the registrar's socket, which
// is there until leave is called.
func (p *process) enter() (path string, leave func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isActor.Load() {
		return p.registrar, func() {}, nil
	}
	if path := os.Getenv(registrarVariable); path != "" {
		return path, func() {}, nil
	}
	if p.own == nil {
		if p.own, err = newRegistrar(); err != nil {
			return "", nil, err
		}
	}
	p.users++
	return p.own.path(), sync.OnceFunc(p.leave), nil
}

func (p *process) leave() {
	p.mu.Lock()
	var unused *registrar
	if p.users--; p.users == 0 {
		unused, p.own = p.own, nil
	}
	p.mu.Unlock()
	if unused != nil {
		unused.close()
	}
}

// Registrar returns the path of the socket that [Find] asks: in a root that of its own, while it
// has actors, or what the environment variable TRAIGO_REGISTRAR says. It returns "" if there is
// none.
func Registrar() string {
	here.mu.Lock()
	defer here.mu.Unlock()
	switch {
	case here.isActor.Load():
		return here.registrar
	case here.own != nil:
		return here.own.path()
	default:
		return os.Getenv(registrarVariable)
	}
}

// newRegistrar makes a folder that only this user can look into, and a socket in it.
func newRegistrar() (*registrar, error) {
	var errs []error
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir()} {
		if dir == "" || len(dir)+len("/"+folderPrefix+"/"+socketName)+20 > maxPath {
			continue
		}
		removeDead(dir)
		r, err := newRegistrarIn(dir)
		if err == nil {
			return r, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("traigo: actor: no folder for the registrar: %w", errors.Join(errs...))
}

func newRegistrarIn(dir string) (*registrar, error) {
	folder, err := os.MkdirTemp(dir, folderPrefix+strconv.Itoa(os.Getpid())+"-") // 0700
	if err != nil {
		return nil, err
	}
	// It is renamed when it listens: one on which nobody listens was left by a process that has
	// died, and is removed by others.
	begun := filepath.Join(folder, "new")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: begun, Net: "unixpacket"})
	if err == nil {
		l.SetUnlinkOnClose(false)
		err = errors.Join(os.Chmod(begun, 0o700), os.Rename(begun, filepath.Join(folder, socketName)))
	}
	if err != nil {
		_ = os.RemoveAll(folder)
		return nil, err
	}
	r := &registrar{folder: folder, listener: l, waiting: map[chan struct{}]struct{}{}, conns: map[*net.UnixConn]struct{}{}}
	r.done.Go(r.accept)
	return r, nil
}

// removeDead removes the folders of registrars that have been killed.
func removeDead(dir string) {
	folders, _ := filepath.Glob(filepath.Join(dir, folderPrefix+"*"))
	for _, folder := range folders {
		info, err := os.Lstat(folder)
		if err != nil || !info.IsDir() || !isMine(info) {
			continue
		}
		socket := filepath.Join(folder, socketName)
		if _, err := os.Lstat(socket); err != nil {
			if time.Since(info.ModTime()) > time.Minute { // it died before it listened
				_ = os.RemoveAll(folder)
			}
			continue
		}
		conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: socket, Net: "unixpacket"})
		if err == nil {
			_ = conn.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.RemoveAll(folder)
		}
	}
}

func isMine(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

func (r *registrar) path() string { return filepath.Join(r.folder, socketName) }

// close ends the registrar. When it returns nothing of it is left.
func (r *registrar) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	for c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.done.Wait()
	_ = os.RemoveAll(r.folder)
}

func (r *registrar) accept() {
	for {
		conn, err := r.listener.AcceptUnix()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // too many files are open, say
			continue
		}
		r.mu.Lock()
		isOver := r.conns == nil || !isOurUser(conn)
		if !isOver {
			r.conns[conn] = struct{}{}
			r.done.Go(func() { r.serve(conn) })
		}
		r.mu.Unlock()
		if isOver {
			_ = conn.Close() // a stranger is not answered
		}
	}
}

// isOurUser reports whether the process at the other end has the user of this one.
func isOurUser(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	failed := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return failed == nil && err == nil && int(peer.Uid) == os.Geteuid()
}

// serve serves one process: it registers, or looks for an actor.
func (r *registrar) serve(conn *net.UnixConn) {
	defer func() {
		_ = conn.Close()
		r.mu.Lock()
		delete(r.conns, conn)
		r.mu.Unlock()
	}()
	n, _, err := readNote(conn)
	if err != nil {
		return
	}
	switch n.Op {
	case "register":
		r.keep(&registration{n.ID, conn})
	case "find", "wait":
		r.find(conn, n)
	}
}

// keep keeps an entry until its process closes the connection, or dies.
func (r *registrar) keep(e *registration) {
	r.mu.Lock()
	r.entries = append(r.entries, e)
	for c := range r.waiting {
		close(c)
	}
	clear(r.waiting)
	r.mu.Unlock()
	_ = writeNote(e.conn, note{Op: "ok"}, nil)
	_, _, _ = readNote(e.conn) // nothing but its end comes
	r.forget(e)
}

func (r *registrar) forget(e *registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.entries {
		if other == e {
			r.entries = append(r.entries[:i:i], r.entries[i+1:]...)
			return
		}
	}
}

func (r *registrar) find(conn *net.UnixConn, n note) {
	for {
		r.mu.Lock()
		var e *registration
		for _, other := range r.entries {
			if other.id.Name() == n.Name {
				e = other
			}
		}
		var next chan struct{}
		if e == nil && n.Op == "wait" {
			next = make(chan struct{})
			r.waiting[next] = struct{}{}
		}
		r.mu.Unlock()
		switch {
		case e != nil:
			if r.join(conn, n.ID, e) {
				return
			}
		case next == nil:
			_ = writeNote(conn, note{Op: "none"}, nil)
			return
		default:
			hasGone := make(chan struct{})
			r.done.Go(func() { // who waits says nothing more
				defer close(hasGone)
				_, _, _ = readNote(conn)
			})
			select {
			case <-next:
				_ = conn.SetReadDeadline(time.Now())
				<-hasGone
				_ = conn.SetReadDeadline(time.Time{})
			case <-hasGone:
				r.mu.Lock()
				delete(r.waiting, next)
				r.mu.Unlock()
				return
			}
		}
	}
}

// join gives both an end of a pair of sockets. It reports false if the entry has turned out to
// be gone.
func (r *registrar) join(conn *net.UnixConn, from ID, e *registration) bool {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true // the connection ends unanswered
	}
	defer func() {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
	}()
	_ = e.conn.SetWriteDeadline(time.Now().Add(time.Second)) // it may be stopped, and its socket full
	if err := writeNote(e.conn, note{Op: "connect", ID: from}, fds[:1]); err != nil {
		r.forget(e)
		return false
	}
	_ = writeNote(conn, note{Op: "ok", ID: e.id}, fds[1:])
	return true
}

func writeNote(conn *net.UnixConn, n note, fds []int) error {
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	_, _, err = conn.WriteMsgUnix(data, rights, nil)
	return err
}

// readNote reads a note, and the descriptor that comes with it.
func readNote(conn *net.UnixConn) (n note, file *os.File, err error) {
	data, rights := make([]byte, maxNote), make([]byte, unix.CmsgSpace(4))
	size, rightsSize, _, _, err := conn.ReadMsgUnix(data, rights)
	if err != nil {
		return n, nil, err
	}
	if size == 0 {
		return n, nil, io.EOF
	}
	if messages, err := unix.ParseSocketControlMessage(rights[:rightsSize]); err == nil {
		for _, m := range messages {
			if fds, err := unix.ParseUnixRights(&m); err == nil {
				for _, fd := range fds {
					unix.CloseOnExec(fd)
					_ = unix.SetNonblock(fd, true)
					file = os.NewFile(uintptr(fd), "actor")
				}
			}
		}
	}
	return n, file, json.Unmarshal(data[:size], &n)
}
