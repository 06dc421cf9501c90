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
	known atomic.Pointer[map[uintptr]site] // replaced as a whole
	mu    sync.Mutex                       // held to replace it
}

// A site is what is known of an address.
type site struct {
	at     string // "" for a frame of a library
	isOurs bool   // it is in package traigo
}

const (
	maxSites = 4096 // addresses that are remembered
	usual    = 12   // in general the frame is among so many, and to find all takes longer
)

// caller returns the line for the event that the caller observes; "" if none of the innermost
// frames is of the user's code. Frames before those of package traigo, which calls observers, are
// not looked at: they are of an observer of the user that passes its events on.
func (s *sites) caller() string {
	var pcs [32]uintptr
	for _, most := range [...]int{usual, len(pcs)} {
		n := runtime.Callers(3, pcs[:most]) // without Callers, caller and Observe
		isCaller := false
		for _, pc := range pcs[:n] {
			is := s.of(pc)
			isCaller = isCaller || is.isOurs
			if isCaller && is.at != "" {
				return is.at
			}
		}
		if n < most {
			break
		}
	}
	return ""
}

func (s *sites) of(pc uintptr) (is site) {
	if known := s.known.Load(); known != nil {
		if is, ok := (*known)[pc]; ok {
			return is
		}
	}
	is.at, is.isOurs = stackdump.At(pc)
	s.mu.Lock()
	defer s.mu.Unlock()
	known := make(map[uintptr]site)
	if was := s.known.Load(); was != nil {
		if len(*was) >= maxSites {
			return is
		}
		maps.Copy(known, *was)
	}
	known[pc] = is
	s.known.Store(&known)
	return is
}
