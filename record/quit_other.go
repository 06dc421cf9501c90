//go:build !unix

package record

// watchQuit does nothing: there is no SIGQUIT.
func (r *Recorder) watchQuit() {}
