package live

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
	"weak"
)

const (
	streamInterval     = 500 * time.Millisecond // between two snapshots for streams
	streamIdle         = 40                     // times what a snapshot has cost, until the next one …
	maxStreamInterval  = 10 * time.Second       // … but no longer
	streamHeartbeat    = 5 * time.Second        // between two events when nothing changes
	streamLifetime     = time.Minute            // after which the page has to connect again
	streamWriteTimeout = 10 * time.Second       // for a client that does not read
)

// serveEvents serves the stream of server-sent events that the page follows:
//
//	state  the JSON object without taken, whenever it has changed. The event's ID is the
//	       hash of the JSON: a client that sends it as Last-Event-ID has the state already
//	now    the time of the snapshot, in milliseconds, from which the page computes ages
//	bye    the server ends the stream; the page should connect again
//
// http.Server.Shutdown waits until all requests have ended, so streams end when it begins.
// They also end after a minute, for a server behind another handler, whose Shutdown this
// package does not learn of.
func (h *handler) serveEvents(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	client := clientOf(r)
	if why := h.openStream(client); why != "" {
		refuseStream(w, r, why)
		return
	}
	defer h.closeStream(client)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // or nginx buffers the events
	if r.ProtoMajor == 1 {
		// The write deadline that run leaves behind must not apply to another request on
		// the same connection.
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
	out.run(h, r, query{path: q.path, scope: q.scope, all: q.all, full: q.full})
}

// A stream is the connection to one client of serveEvents.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer // events that send writes
}

// run sends events until the client has gone, the stream is too old, or the server begins
// to shut down.
func (s *stream) run(h *handler, r *http.Request, q query) {
	lifetime := time.NewTimer(streamLifetime)
	defer lifetime.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	defer func() { _ = s.control.SetWriteDeadline(time.Now().Add(streamWriteTimeout)) }() // for the end of the body, which net/http writes
	shutdown := h.shutdownSignal(r)

	s.buf.WriteString("retry: 1000\n\n")
	if !s.send() { // now, since the next snapshot may take a while
		return
	}
	sentHash := r.Header.Get("Last-Event-ID")
	var sentAt time.Time
	number := h.snapshots.addClient()
	defer h.snapshots.removeClient()
	for {
		snapshot, n, err := h.snapshots.getAfter(r.Context(), struct{}{}, number)
		if err != nil {
			return
		}
		number = n
		text, hash := snapshot.sharedView(q).stableJSON()
		if sentAt.IsZero() || hash != sentHash || snapshot.taken.Sub(sentAt) >= streamHeartbeat {
			s.event("now", "", strconv.AppendInt(nil, snapshot.taken.UnixMilli(), 10))
			if hash != sentHash {
				s.event("state", hash, text)
			}
			if !s.send() {
				return
			}
			sentHash, sentAt = hash, snapshot.taken
		}
		for wait := snapshot.untilNext(); wait > 0; wait = snapshot.untilNext() {
			pause.Reset(wait)
			select {
			case <-pause.C: // another stream may have made it cost more meanwhile
			case <-r.Context().Done():
				return
			case <-lifetime.C:
				s.sendBye()
				return
			case <-shutdown:
				s.sendBye()
				return
			}
		}
	}
}

// untilNext returns how long streams wait for the snapshot after s. It is the same for all
// streams that have s, so that they share the next one too.
func (s *snapshot) untilNext() time.Duration {
	cost := time.Duration(s.cost.Load())
	return time.Until(s.began.Add(min(max(streamInterval, streamIdle*cost), maxStreamInterval)))
}

// event adds an event to the buffer.
func (s *stream) event(name, id string, data []byte) {
	s.buf.WriteString("event: " + name + "\n")
	if id != "" {
		s.buf.WriteString("id: " + id + "\n")
	}
	s.buf.WriteString("data: ")
	s.buf.Write(data) // without line breaks
	s.buf.WriteString("\n\n")
}

func (s *stream) sendBye() {
	s.event("bye", "", []byte("1"))
	s.send()
}

// send writes the buffer to the client, and reports whether that succeeded. A client that
// does not read would block the goroutine, hence the deadline; a ResponseWriter that
// supports none, as in tests, is no error. The deadline is removed after the write, since
// HTTP/2 resets a stream whose deadline passes even if nothing is being written.
func (s *stream) send() bool {
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
	defer func() { _ = s.control.SetWriteDeadline(time.Time{}) }()
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	if s.buf.Cap() > 1<<20 {
		s.buf = bytes.Buffer{}
	}
	return err == nil && s.control.Flush() == nil
}

// shutdownSignal returns a channel that is closed when the server of r begins to shut
// down; nil if r does not have its server in its context.
func (h *handler) shutdownSignal(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := weak.Make(server) // the handler must not keep a server in memory
	begun, known := h.servers[key]
	if !known {
		begun = make(chan struct{})
		h.servers[key] = begun
		server.RegisterOnShutdown(func() { h.shutdown(begun) })
	}
	return begun
}

// shutdown ends the streams of a server. The channel stays closed, so that requests which
// were already under way, and open a stream later, end too.
func (h *handler) shutdown(begun chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-begun: // Shutdown was called again
	default:
		close(begun)
	}
}
