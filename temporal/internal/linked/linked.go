// Package linked is how package embedded, which is a module of its own, offers its server to
// package temporal: that must not import it, or every program would link a server.
package linked

// A Server runs in this process.
type Server interface {
	Address() string   // host:port
	Namespace() string // that it has
	Stop()             // idempotent
}

// Start starts a server. It is nil unless package embedded is linked, which sets it while it
// is initialized.
var Start func() (Server, error)
