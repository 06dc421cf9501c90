package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// What this package needs of Linux: a pair of sockets of which the kernel remembers who has
// made it, a process group, a signal at the death of the parent, a descriptor that tells of
// the end of a process without reaping it, and the resident size.

// supported is nil where this package works.
func supported() error { return nil }

// markFD is the descriptor at which such a process finds its socket: the first of
// exec.Cmd.ExtraFiles.
const markFD = 3

func markFor(kind string, memory int64) string {
	return fmt.Sprintf("%s=1 %d %d %s", markName, os.Getpid(), memory, kind)
}

// A mark says that this process was started by Launch, and what it is to serve.
type mark struct {
	parent int
	memory int64 // 0: no limit
	kind   string
}

// readMark returns the mark of this process, nil if it has none. It is called before main. A
// mark in the environment is not enough: the socket must have been made by the process that
// the mark names, with the same user.
func readMark() *mark {
	text, ok := os.LookupEnv(markName)
	if !ok {
		return nil
	}
	_ = os.Unsetenv(markName)
	fields := strings.SplitN(text, " ", 4)
	if len(fields) != 4 || fields[0] != "1" {
		return nil
	}
	parent, err1 := strconv.Atoi(fields[1])
	memory, err2 := strconv.ParseInt(fields[2], 10, 64)
	maker, err3 := syscall.GetsockoptUcred(markFD, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	if err1 != nil || err2 != nil || err3 != nil || parent < 1 || int(maker.Pid) != parent {
		return nil
	}
	if int(maker.Uid) != os.Getuid() || !hasOneUser() {
		return nil // an ordinary program: see acceptable
	}
	syscall.CloseOnExec(markFD)
	return &mark{parent, memory, fields[3]}
}

// ignored are the signals to which a worker pays no attention, once it has come so far. SIGPIPE comes from a write to
// standard output or standard error when the parent has died.
var ignored = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE}

// hasOneUser reports whether this program is neither set-uid nor set-gid.
func hasOneUser() bool { return os.Getuid() == os.Geteuid() && os.Getgid() == os.Getegid() }

// acceptable returns why a process with these attributes would not accept its mark; nil if it
// would. It would be an ordinary program then, and run main, which would start it again.
func acceptable(attr *syscall.SysProcAttr) error {
	switch {
	case !hasOneUser():
		return fmt.Errorf("a set-uid or set-gid program has no workers: %w", ErrNotServed)
	case attr == nil:
	case attr.Credential != nil && (int(attr.Credential.Uid) != os.Getuid() || int(attr.Credential.Gid) != os.Getgid()):
		return fmt.Errorf("a worker has the user of its parent, so a Command must leave Credential out: %w", ErrNotServed)
	case attr.Cloneflags&(syscall.CLONE_NEWPID|syscall.CLONE_NEWUSER) != 0:
		return fmt.Errorf("a worker sees the processes and users that its parent sees, so a Command must leave CLONE_NEWPID and CLONE_NEWUSER out: %w", ErrNotServed)
	}
	return nil
}

// inherit prepares a process that has a mark, before main. The process ends if its parent has
// died, also if that happens later and before Serve is called.
func (m *mark) inherit() (stopWatching func()) {
	for _, s := range ignored {
		if !signal.Ignored(s) { // signal.Ignore would hold after an exec too
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	if os.Getppid() != m.parent {
		endGroup()
	}
	// The descriptor is another one than that which Serve reads from, so that neither takes
	// the events of the other.
	fd, err := syscall.Dup(markFD)
	if err != nil {
		endGroup()
	}
	syscall.CloseOnExec(fd)
	_ = syscall.SetNonblock(fd, true)
	file := os.NewFile(uintptr(fd), "parent")
	raw, err := file.SyscallConn()
	if err != nil {
		endGroup()
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		hungUp := false
		_ = raw.Read(func(fd uintptr) bool {
			hungUp = hasHungUp(fd)
			return hungUp
		})
		if hungUp {
			endGroup()
		}
	}()
	return func() {
		_ = file.Close() // ends Read
		<-stopped
	}
}

// hasHungUp reports whether the other end of a socket is closed, whatever is still to be read.
func hasHungUp(fd uintptr) bool {
	const pollRDHUP, pollHUP, pollERR = 0x2000, 0x10, 0x8
	p := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd), events: pollRDHUP}
	var now syscall.Timespec
	_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return errno == 0 && p.revents&(pollRDHUP|pollHUP|pollERR) != 0
}

// endGroup ends this process and its group, unless that is the group of others.
func endGroup() {
	group := 0
	if syscall.Getpgrp() != os.Getpid() {
		group = os.Getpid()
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	select {} // until the signal has come
}

// exit ends this process. A parent that lives kills the rest of the group when it reaps this
// process; if it has gone, nobody else does. The parent may go during the exit, which takes
// time where coverage is written or the race detector waits for reports.
func (m *mark) exit(code int) {
	if m.isOrphan() {
		endGroup()
	}
	go func() {
		for !m.isOrphan() {
			time.Sleep(time.Millisecond)
		}
		endGroup()
	}()
	os.Exit(code)
}

// isOrphan reports whether the parent has died, or is about to: the kernel closes its files,
// which this process notices, before it gives its children to another parent.
func (m *mark) isOrphan() bool {
	if os.Getppid() != m.parent {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(m.parent) + "/stat")
	if err != nil { // reaped meanwhile, or there is no /proc
		return os.Getppid() != m.parent
	}
	const state, flags, isExiting = 0, 6, 0x4 // of what comes after the name in parentheses
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= flags {
		return false
	}
	bits, _ := strconv.ParseUint(fields[flags], 10, 64)
	return fields[state] == "Z" || fields[state] == "X" || bits&isExiting != 0
}

// inherited returns the socket that this process was started with.
func inherited() (net.Conn, error) {
	file := os.NewFile(markFD, "parent")
	defer func() { _ = file.Close() }()
	return net.FileConn(file)
}

// socketPair returns a connection and the file that is its other end.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "child"), os.NewFile(uintptr(fds[1]), "parent")
	defer func() { _ = ours.Close() }()
	conn, err := net.FileConn(ours)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// self is the program that runs, also if its file was deleted or replaced.
func self() (string, error) {
	if _, err := os.Stat("/proc/self/exe"); err == nil {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// start starts cmd in a group of its own. It returns a file that becomes readable when the
// process has ended; nil if the kernel has no such descriptors.
//
// The signal at the death of the parent is bound to the thread that forks. SIGCONT does no
// harm if that thread ends before its process, and when the process ends it wakes a stopped
// child, which then finds that its socket is closed. No signal comes when the parent does not
// die but executes another program by the thread that has forked: a child that is stopped then
// ends when somebody wakes it.
func start(cmd *exec.Cmd) (*os.File, error) {
	fd := -1
	attr := &syscall.SysProcAttr{}
	if cmd.SysProcAttr != nil {
		*attr = *cmd.SysProcAttr
	}
	attr.Setpgid, attr.Pgid, attr.Pdeathsig, attr.PidFD = !attr.Setsid, 0, syscall.SIGCONT, &fd // a session has a group of its own
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil || fd < 0 {
		return nil, err
	}
	_ = syscall.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), "process"), nil
}

// waitForEnd returns when the process has ended. It does not reap it.
func waitForEnd(pid int, file *os.File) {
	if file != nil {
		defer func() { _ = file.Close() }()
		ended := false
		if raw, err := file.SyscallConn(); err == nil {
			_ = raw.Read(func(fd uintptr) bool {
				var err error
				ended, err = hasEnded(idOfPidFD, fd, syscall.WNOHANG)
				return ended || err != nil
			})
		}
		if ended {
			return
		}
	}
	for { // holds a thread: a kernel before 5.4
		if ended, _ := hasEnded(idOfPid, uintptr(pid), 0); ended {
			return
		}
	}
}

const idOfPid, idOfPidFD = 1, 3

// hasEnded reports whether a child has ended; also if somebody else has reaped it.
func hasEnded(kind, id uintptr, options uintptr) (bool, error) {
	var info [128]byte // a siginfo_t; it begins with the number of a signal
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, kind, id, uintptr(unsafe.Pointer(&info)),
		syscall.WEXITED|syscall.WNOWAIT|options, 0, 0)
	if errno == 0 {
		return *(*int32)(unsafe.Pointer(&info)) != 0, nil
	}
	if errno == syscall.EINTR {
		return false, nil
	}
	return errno == syscall.ECHILD, errno
}

// signalGroup sends a signal to the group of a process that was not reaped.
func signalGroup(pid int, sig syscall.Signal) {
	if pid > 1 { // otherwise it would be our own group, or everybody
		_ = syscall.Kill(-pid, sig)
	}
}

// diedOf reports whether one of these signals has ended a process.
func diedOf(state *os.ProcessState, signals ...syscall.Signal) bool {
	if state == nil {
		return false
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && slices.Contains(signals, status.Signal())
}

// residentSize returns the resident size of a process in bytes.
func residentSize(pid int) (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, errors.New("traigo: /proc/PID/statm does not have the form it should have")
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// peakSize returns how large a process that has ended was at most, in bytes.
func peakSize(state *os.ProcessState) int64 {
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		return int64(usage.Maxrss) << 10 //nolint:unconvert // 32 bits on some systems
	}
	return 0
}

// drain copies what is in a pipe now. Another process may go on to write into it for ever.
func drain(to io.Writer, pipe *os.File) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return
	}
	const fionread = 0x541b
	buffer := make([]byte, 32<<10)
	_ = raw.Read(func(fd uintptr) bool {
		var rest int32
		_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, fd, fionread, uintptr(unsafe.Pointer(&rest)))
		for rest > 0 {
			n, err := syscall.Read(int(fd), buffer[:min(len(buffer), int(rest))])
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if n <= 0 {
				break
			}
			_, _ = to.Write(buffer[:n])
			rest -= int32(n)
		}
		return true
	})
}

// stopReading makes a reader of the socket find its end after what has come.
func stopReading(conn net.Conn) {
	if c, ok := conn.(*net.UnixConn); ok {
		_ = c.CloseRead()
	}
}
