// Package embedded is a Temporal server in the process: for trying package temporal, and for
// testing what is built on it, with nothing to install.
//
//	import _ "github.com/traigo/traigo/temporal/embedded"
//
// Importing it, also blank, is what lets temporal.Connect use it: where the environment names
// no address, Connect starts one server for all engines of the process. [Start] starts one of
// one's own.
//
// It adds some 200 modules and 150 to 200 MB to a program, and takes minutes to build for the
// first time, up to a quarter of an hour on two cores, and as long once more with the race
// detector: import it in tests and in programs for trying, not in a library. It does tens of
// short tasks a second, on two cores. It keeps nothing: what its workflows did is gone when it
// stops. It has no authentication: whoever can reach the loopback interface can use it. It
// listens there only, and has no web page. Schedules, batches and worker deployments of
// Temporal's are refused.
//
// In production set TEMPORAL_ADDRESS to that of a cluster or of Temporal Cloud, and leave the
// import out. Where an address is set, nothing here is started.
//
// The server is made for a process of its own. Its libraries register the handlers of
// net/http/pprof with http.DefaultServeMux, and an error handler with OpenTelemetry. What it
// warns of goes to slog.Default at level Debug.
package embedded

import (
	"github.com/traigo/traigo/temporal/embedded/internal/lite"
	"github.com/traigo/traigo/temporal/internal/linked"
)

//nolint:gochecknoinits // that it is linked is what package temporal has to know
func init() {
	linked.Start = func() (linked.Server, error) {
		s, err := Start()
		if err != nil {
			return nil, err // not a nil *Server in an interface
		}
		return s, nil
	}
}

// A Server is a Temporal server in this process.
type Server struct{ lite *lite.Server }

// Start starts a server, on a free port of 127.0.0.1, in memory, without authentication. When
// it returns, the server answers.
func Start() (*Server, error) {
	s, err := lite.Start("")
	if err != nil {
		return nil, err
	}
	return &Server{lite: s}, nil
}

// Address is where the server answers: host:port, for TEMPORAL_ADDRESS of other processes.
func (s *Server) Address() string { return s.lite.Address() }

// Namespace is the one that the server has: "default".
func (s *Server) Namespace() string { return lite.Namespace }

// Stop stops the server, and forgets what was in it. It may be called more than once; all
// calls return when the server has stopped. It leaves no goroutine and no port.
func (s *Server) Stop() { s.lite.Stop() }
