//go:build !linux

package proc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// supported is nil where this package works.
func supported() error {
	return fmt.Errorf("traigo: proc starts no processes on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Nothing below is called.

var ignored []syscall.Signal

type mark struct {
	parent int
	memory int64
	kind   string
}

func markFor(string, int64) string                    { return "" }
func readMark() *mark                                 { return nil }
func (m *mark) inherit() (stopWatching func())        { return func() {} }
func (m *mark) exit(int)                              {}
func endGroup()                                       {}
func inherited() (net.Conn, error)                    { return nil, supported() }
func socketPair() (net.Conn, *os.File, error)         { return nil, nil, supported() }
func self() (string, error)                           { return os.Executable() }
func start(*exec.Cmd) (*os.File, error)               { return nil, supported() }
func waitForEnd(int, *os.File)                        {}
func signalGroup(int, syscall.Signal)                 {}
func residentSize(int) (int64, error)                 { return 0, supported() }
func diedOf(*os.ProcessState, ...syscall.Signal) bool { return false }
func peakSize(*os.ProcessState) int64                 { return 0 }
func drain(io.Writer, *os.File)                       {}
func acceptable(*syscall.SysProcAttr) error           { return supported() }
func stopReading(net.Conn)                            {}
