package record

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

// headerAt returns what makes the first line of each segment. The number of the recording
// is the same in all of them.
func headerAt(t0 time.Time) func(segment uint64) []byte {
	run := fmt.Sprintf("%08x", rand.Uint32()) //nolint:gosec // it tells recordings apart, and keeps no secret
	program := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		program = info.Path
	}
	return func(segment uint64) []byte {
		b := append([]byte(nil), `{"traigo":1,"t0":"`...)
		b = t0.UTC().AppendFormat(b, time.RFC3339Nano)
		b = appendKey(append(b, '"'), "run", run)
		if segment > 0 {
			b = appendNumber(b, "segment", segment)
		}
		b = append(b, `,"pid":`...)
		b = strconv.AppendInt(b, int64(os.Getpid()), 10)
		b = appendKey(b, "go", runtime.Version())
		if program != "" {
			b = appendKey(b, "program", program)
		}
		return end(b)
	}
}
