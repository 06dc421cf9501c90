package live

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"weak"
)

// The page's stream of server-sent events.

const (
	streamPause    = 500 * time.Millisecond // between two looks for one stream
	streamPulse    = 5 * time.Second        // a sign of life, when nothing changes
	streamLife     = time.Minute            // then the page asks again
	streamPatience = 10 * time.Second       // with a client that does not read
	mostStreams    = 100
)

// serveEvents sends the state whenever it has changed: "state" with the JSON without
// its moment, and "now" with the server's clock, in milliseconds, from which the page
// counts ages. The id of a state is its hash: who comes back with it gets it once.
//
// http.Server.Shutdown waits for requests, and would wait for ever for these. So they
// end when it begins, and after a minute anyway; "bye" tells the page that this is no
// accident.
func (h *handler) serveEvents(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !h.openStream() {
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("live: %d pages are open already", mostStreams), http.StatusServiceUnavailable)
		return
	}
	defer h.closeStream()
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would keep it all
	if r.ProtoMajor == 1 {
		// The write deadline of the last event must not meet the next request.
		header.Set("Connection", "close")
	}
	if r.Method == http.MethodHead {
		return
	}
	out := &stream{w: w, control: http.NewResponseController(w)}
	if err := out.control.Flush(); err != nil {
		http.Error(w, "live: events need a ResponseWriter that can flush, or has Unwrap: "+err.Error(), http.StatusInternalServerError)
		return
	}
	out.follow(h, r, query{path: q.path, scope: q.scope, all: q.all, full: q.full})
}

// A stream is one client that listens.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
}

func (s *stream) follow(h *handler, r *http.Request, q query) {
	over := time.NewTimer(streamLife)
	defer over.Stop()
	pause := time.NewTicker(streamPause)
	defer pause.Stop()
	defer func() { _ = s.control.SetWriteDeadline(time.Now().Add(streamPatience)) }() // for what net/http writes at the end
	shutdown := h.shutdownOf(r)

	s.buf.WriteString("retry: 1000\n\n")
	if !s.send() { // at once: the next look may be a while
		return
	}
	known := r.Header.Get("Last-Event-ID")
	var told time.Time
	for {
		l, err := h.looks.get(r.Context(), struct{}{})
		if err != nil {
			return
		}
		text, hash := l.shared(q).stableJSON()
		if told.IsZero() || hash != known || l.taken.Sub(told) >= streamPulse {
			s.event("now", "", strconv.AppendInt(nil, l.taken.UnixMilli(), 10))
			if hash != known {
				s.event("state", hash, text)
			}
			if !s.send() {
				return
			}
			known, told = hash, l.taken
		}
		select {
		case <-pause.C:
		case <-r.Context().Done():
			return
		case <-over.C:
			s.bye()
			return
		case <-shutdown:
			s.bye()
			return
		}
	}
}

func (s *stream) event(name, id string, data []byte) {
	s.buf.WriteString("event: " + name + "\n")
	if id != "" {
		s.buf.WriteString("id: " + id + "\n")
	}
	s.buf.WriteString("data: ")
	s.buf.Write(data) // JSON on one line
	s.buf.WriteString("\n\n")
}

func (s *stream) bye() {
	s.event("bye", "", []byte("1"))
	s.send()
}

// send reports whether the client still reads. One that does not would hold the
// goroutine: hence the deadline, which a ResponseWriter in a test may not know. It is of
// this event alone: HTTP/2 resets a stream when one passes, also if nothing is written.
func (s *stream) send() bool {
	_ = s.control.SetWriteDeadline(time.Now().Add(streamPatience))
	defer func() { _ = s.control.SetWriteDeadline(time.Time{}) }()
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	if s.buf.Cap() > 1<<20 {
		s.buf = bytes.Buffer{}
	}
	return err == nil && s.control.Flush() == nil
}

func (h *handler) openStream() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams == mostStreams {
		return false
	}
	h.streams++
	return true
}

func (h *handler) closeStream() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams--
}

// shutdownOf is closed when the server of r begins to shut down; nil if r has none.
func (h *handler) shutdownOf(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := weak.Make(server) // it is not for a page to keep a server
	begun, known := h.servers[key]
	if !known {
		begun = make(chan struct{})
		h.servers[key] = begun
		server.RegisterOnShutdown(func() { h.shutdown(begun) })
	}
	return begun
}

// shutdown ends the streams, also those that a request which was under way opens later.
func (h *handler) shutdown(begun chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-begun: // Shutdown was called again
	default:
		close(begun)
	}
}
