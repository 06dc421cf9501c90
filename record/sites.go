package record

import (
	"maps"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/traigo/traigo/internal/stackdump"
)

// Sites makes the log say, of each task and scope, the file and line of the program's code
// that spawned or opened it. It costs about half a microsecond for each.
func Sites() Option { return func(s *settings) { s.sites = new(sites) } }

// sites finds the line of the user's code that has caused an event. It remembers what it has
// found for an address, as the names of a frame take most of the time to find.
type sites struct {
	known atomic.Pointer[map[uintptr]string] // replaced as a whole; "" for a frame of a library
	mu    sync.Mutex                         // held to replace it
}

const (
	maxSites = 4096 // addresses that are remembered
	usual    = 12   // in general the frame is among so many, and to find all takes longer
)

// caller returns the line for the event that the caller observes; "" if none of the innermost
// frames is of the user's code.
func (s *sites) caller() string {
	var pcs [32]uintptr
	for _, most := range [...]int{usual, len(pcs)} {
		n := runtime.Callers(3, pcs[:most]) // without Callers, caller and Observe
		for _, pc := range pcs[:n] {
			if at := s.of(pc); at != "" {
				return at
			}
		}
		if n < most {
			break
		}
	}
	return ""
}

func (s *sites) of(pc uintptr) string {
	if known := s.known.Load(); known != nil {
		if at, ok := (*known)[pc]; ok {
			return at
		}
	}
	at := stackdump.At(pc)
	s.mu.Lock()
	defer s.mu.Unlock()
	known := make(map[uintptr]string)
	if was := s.known.Load(); was != nil {
		if len(*was) >= maxSites {
			return at
		}
		maps.Copy(known, *was)
	}
	known[pc] = at
	s.known.Store(&known)
	return at
}
