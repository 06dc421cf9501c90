// Package embedded is a Temporal server in the process.
package embedded

import (
	"github.com/traigo/traigo/temporal/embedded/internal/lite"
	"github.com/traigo/traigo/temporal/internal/linked"
)

// A Server is a Temporal server in this process.
type Server struct{ lite *lite.Server }

func init() {
	linked.Start = func() (linked.Server, error) { return Start() }
}

// Start starts a server.
func Start() (*Server, error) {
	s, err := lite.Start("")
	if err != nil {
		return nil, err
	}
	return &Server{lite: s}, nil
}

// Address is where the server answers: host:port.
func (s *Server) Address() string { return s.lite.Address() }

// Namespace is the one that the server has.
func (s *Server) Namespace() string { return lite.Namespace }

// Stop stops the server.
func (s *Server) Stop() { s.lite.Stop() }
