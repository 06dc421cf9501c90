package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/traigo/traigo"
)

var (
	// ErrNotServed is the error of a call in a program, or by way of a worker, in which [Serve]
	// was not called.
	ErrNotServed = registered("traigo: proc.Serve was not called: make it the first statement of main, and of TestMain in tests")

	// ErrMemory is wrapped by the error of a call whose worker was killed because it had more
	// than [Memory] allows.
	ErrMemory = registered("traigo: more memory than proc.Memory allows")

	// ErrTooLarge is wrapped by the error of a call whose argument, result or item takes more
	// than 64 MiB when it is encoded.
	ErrTooLarge = registered("traigo: more than 64 MiB in one message: pass the path of a file, or use a proc.Source")
)

// registered returns an error that errors.Is finds in other processes.
func registered(text string) error {
	err := errors.New(text)
	traigo.RegisterError(err)
	return err
}

// A BrokenWorkerError says that a process has ended, or did not start, otherwise than it was
// to. It is the error of the call whose job ran in it.
type BrokenWorkerError struct {
	Func   string           // what it was to run
	Pid    int              // 0 if it did not start
	State  *os.ProcessState // exit code, signal and resources; nil if it did not start
	Stderr string           // the end of what it has written there, at most 64 KiB
	Err    error            // why, if that is known: ErrMemory, ErrNotServed, an error of Init, of exec
}

// Error returns one line: the function, the process, how it ended, and why. Where Err does not
// say why, that is the line on standard error which begins with "panic: " or "fatal error: ".
func (e *BrokenWorkerError) Error() string {
	var b strings.Builder
	b.WriteString("worker")
	if e.Pid > 0 {
		fmt.Fprintf(&b, " %d", e.Pid)
	}
	if e.Func != "" {
		fmt.Fprintf(&b, " of %q", e.Func)
	}
	if e.State != nil {
		fmt.Fprintf(&b, " has ended: %v", e.State)
	} else {
		b.WriteString(" did not start")
	}
	switch why := e.crashLine(); {
	case e.Err != nil:
		b.WriteString(": " + oneLine(e.Err.Error()))
	case why != "":
		b.WriteString(": " + why)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *BrokenWorkerError) Unwrap() error { return e.Err }

// Format writes, for %+v, also what the process has written on standard error.
func (e *BrokenWorkerError) Format(f fmt.State, verb rune) {
	switch {
	case verb == 'v' && f.Flag('+'):
		_, _ = io.WriteString(f, e.Error())
		if text := strings.TrimRight(e.Stderr, "\n"); text != "" {
			_, _ = io.WriteString(f, "\nits standard error:\n\t"+strings.ReplaceAll(text, "\n", "\n\t"))
		}
	case verb == 'q':
		_, _ = fmt.Fprintf(f, "%q", e.Error())
	default:
		_, _ = io.WriteString(f, e.Error())
	}
}

// crashLine returns the line of a Go program's report that says why it has crashed; "" if it
// has not, or has not said so. What an earlier job has logged is no report of a crash.
func (e *BrokenWorkerError) crashLine() (found string) {
	const crashed, abort = 2, syscall.Signal(6)
	if e.State == nil || e.State.ExitCode() != crashed && !diedOf(e.State, abort) {
		return ""
	}
	for line := range strings.Lines(e.Stderr) {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			found = strings.TrimSpace(line)
		}
	}
	return found
}

func oneLine(text string) string { return strings.Join(strings.FieldsFunc(text, isLineEnd), " ") }

func isLineEnd(r rune) bool { return r == '\n' || r == '\r' }
