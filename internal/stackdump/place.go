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
// top that is neither of Go's standard library nor of this module; "" if there is none.
func PlaceOf(stack string) (p Place) {
	header, rest, _ := strings.Cut(stack, "\n")
	p.Waits, p.For = waitOf(header)
	p.At = topFrame(rest)
	return p
}

// waitOf parses the first line of a stack, "goroutine 7 [chan receive, 12 minutes]:". Labels
// may follow the bracket. In a bubble of synctest the minutes are not those of its clock.
func waitOf(header string) (waits string, since time.Duration) {
	_, notes, found := strings.Cut(header, " [")
	if !found {
		return "", 0
	}
	notes, _, _ = strings.Cut(notes, "]")
	waits, notes, _ = strings.Cut(notes, ", ")
	for note := range strings.SplitSeq(notes, ", ") {
		if strings.HasPrefix(note, "synctest bubble ") {
			since = 0
		} else if text, is := strings.CutSuffix(note, " minutes"); is {
			minutes, _ := strconv.Atoi(text)
			since = time.Duration(minutes) * time.Minute
		}
	}
	return strings.TrimSuffix(waits, " (durable)"), since // it is durable in such a bubble
}

func topFrame(frames string) string {
	for frames != "" {
		var function, place string
		function, frames, _ = strings.Cut(frames, "\n")
		if !strings.HasPrefix(frames, "\t") || strings.HasPrefix(function, "created by ") {
			continue
		}
		place, frames, _ = strings.Cut(frames, "\n")
		if at := fileAndLine(place); !isLibrary(function, at) {
			return path.Base(at)
		}
	}
	return ""
}

// fileAndLine returns "/home/gopher/main.go:45" of "\t/home/gopher/main.go:45 +0x2d".
func fileAndLine(place string) string {
	place, _, _ = strings.Cut(strings.TrimPrefix(place, "\t"), " +0x")
	return place
}

// isLibrary reports whether a function in a file is one of this module, or of Go's standard
// library. The name does not suffice: a function literal of ours that is inlined has that of
// its caller.
func isLibrary(function, file string) bool {
	if isFolded(function) || isPackageTraigo(function, file) {
		return true
	}
	first, _, hasMore := strings.Cut(function, "/") // of the elements of the package's path
	if !hasMore {
		first, _, _ = strings.Cut(first, ".")
	}
	return standard[first] // no host: that has a dot in it
}

// isPackageTraigo reports whether a function in a file is one of package traigo.
func isPackageTraigo(function, file string) bool {
	return strings.HasPrefix(function, "github.com/traigo/traigo.") || path.Dir(file) == ourDir && !strings.Contains(file, "_test.go")
}

// ourDir is the directory of package traigo, as the compiler has written it into the binary.
var ourDir = func() string {
	_, file, _, _ := runtime.Caller(0)
	return path.Dir(path.Dir(path.Dir(file)))
}()

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
		if frame.Function != "" && !isLibrary(frame.Function, frame.File) {
			return path.Base(frame.File) + ":" + strconv.Itoa(frame.Line)
		}
		if !more {
			return ""
		}
	}
}

// At returns file and line of the innermost frame of the user's code among those that a program
// counter of runtime.Callers stands for, in the same form; "" if there is none. If one of them is
// of package traigo, it is a caller of that: isOurs is true then.
func At(pc uintptr) (at string, isOurs bool) {
	frames := runtime.CallersFrames([]uintptr{pc})
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "":
		case isPackageTraigo(frame.Function, frame.File):
			at, isOurs = "", true
		case at == "" && !isLibrary(frame.Function, frame.File):
			at = path.Base(frame.File) + ":" + strconv.Itoa(frame.Line)
		}
		if !more {
			return at, isOurs
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
	if f == nil {
		return ""
	}
	file, line := f.FileLine(pc)
	if isLibrary(f.Name(), file) {
		return ""
	}
	return path.Base(file) + ":" + strconv.Itoa(line)
}
