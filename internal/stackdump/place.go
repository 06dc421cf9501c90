package stackdump

import (
	"path"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A Place says what a goroutine waits for, and where.
type Place struct {
	Waits string        // the runtime's word for it: "chan receive", "sync.Mutex.Lock", "running", "runnable" …
	For   time.Duration // in whole minutes; 0 below one, and until the garbage collector has seen it wait
	At    string        // file and line of the topmost frame of the user's code: "main.go:45"
}

// PlaceOf reads the place from the stack of one goroutine. At is in the first frame from the
// top that is neither of Go's standard library nor of this module; if there is none, the first
// frame that is not of package runtime.
func PlaceOf(stack string) (p Place) {
	header, rest, _ := strings.Cut(stack, "\n")
	p.Waits, p.For = waitOf(header)
	p.At = topFrame(rest)
	return p
}

// waitOf parses the first line of a stack, "goroutine 7 [chan receive, 12 minutes]:". Labels
// may follow the bracket.
func waitOf(header string) (waits string, since time.Duration) {
	_, notes, found := strings.Cut(header, " [")
	if !found {
		return "", 0
	}
	notes, _, _ = strings.Cut(notes, "]")
	waits, notes, _ = strings.Cut(notes, ", ")
	for note := range strings.SplitSeq(notes, ", ") {
		if text, is := strings.CutSuffix(note, " minutes"); is {
			minutes, _ := strconv.Atoi(text)
			since = time.Duration(minutes) * time.Minute
		}
	}
	return strings.TrimSuffix(waits, " (durable)"), since // (durable) is for synctest
}

func topFrame(frames string) (at string) {
	for frames != "" {
		var function, place string
		function, frames, _ = strings.Cut(frames, "\n")
		if !strings.HasPrefix(frames, "\t") || strings.HasPrefix(function, "created by ") {
			continue
		}
		place, frames, _ = strings.Cut(frames, "\n")
		switch {
		case !isLibrary(function):
			return fileAndLine(place)
		case at == "" && !strings.HasPrefix(function, "runtime."):
			at = fileAndLine(place)
		}
	}
	return at
}

// fileAndLine returns "main.go:45" of "\t/home/gopher/main.go:45 +0x2d".
func fileAndLine(place string) string {
	place, _, _ = strings.Cut(strings.TrimPrefix(place, "\t"), " +0x")
	return path.Base(place)
}

// isLibrary reports whether a function is one of this module, or of Go's standard library.
func isLibrary(function string) bool {
	if isFolded(function) {
		return true
	}
	first := function // of the elements of the package's path
	if i := strings.IndexAny(first, "/.("); i >= 0 {
		first = first[:i]
	}
	return standard[first]
}

// standard has the first elements of the paths of Go's packages. A path outside of the
// standard library begins with a host, or with a name of its own.
var standard = func() map[string]bool {
	set := make(map[string]bool)
	for name := range strings.FieldsSeq(`archive bufio bytes cmp compress container context crypto database debug embed
		encoding errors expvar flag fmt go hash html image index internal io iter log maps math mime net os path plugin
		reflect regexp runtime slices sort strconv strings structs sync syscall testing text time unicode unique unsafe
		vendor weak`) {
		set[name] = true
	}
	return set
}()

// Caller returns file and line of the innermost frame of the calling goroutine that is of the
// user's code, as At of a Place; "" if there is none among the first 32.
func Caller() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if frame.Function != "" && !isLibrary(frame.Function) {
			return path.Base(frame.File) + ":" + strconv.Itoa(frame.Line)
		}
		if !more {
			return ""
		}
	}
}

// At returns file and line of the innermost frame of the user's code among those that a program
// counter of runtime.Callers stands for, in the same form; "" if there is none.
func At(pc uintptr) string {
	frames := runtime.CallersFrames([]uintptr{pc})
	for {
		frame, more := frames.Next()
		if frame.Function != "" && !isLibrary(frame.Function) {
			return path.Base(frame.File) + ":" + strconv.Itoa(frame.Line)
		}
		if !more {
			return ""
		}
	}
}

// InBubble reports whether the calling goroutine is in a bubble of testing/synctest.
func InBubble() bool {
	var text [128]byte // more than the first line has before the labels
	header, _, _ := strings.Cut(string(text[:runtime.Stack(text[:], false)]), "]")
	return strings.Contains(header, "synctest bubble")
}

// Function returns file and line of the function that begins at pc, in the same form; "" if it
// is no function of the user.
func Function(pc uintptr) string {
	f := runtime.FuncForPC(pc)
	if f == nil || isLibrary(f.Name()) {
		return ""
	}
	file, line := f.FileLine(pc)
	return path.Base(file) + ":" + strconv.Itoa(line)
}
