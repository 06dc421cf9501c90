//go:build !linux

package actor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/traigo/traigo"
)

// On other systems no actor can be started, so there is no registrar, and nothing to pause.

type (
	entry     struct{}
	registrar struct{}
)

func unsupported() error {
	return fmt.Errorf("traigo: actor: there are no actors on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func (p *process) enter() (string, func(), error) { return "", nil, unsupported() }

// Registrar returns "".
func Registrar() string { return "" }

func enroll(string, ID, *host) (*entry, error) { return nil, unsupported() }
func (e *entry) close()                        {}

// Find returns errors.ErrUnsupported.
func Find(context.Context, *traigo.Scope, string) (*Actor, error) { return nil, unsupported() }

// Wait returns errors.ErrUnsupported.
func Wait(context.Context, *traigo.Scope, string) (*Actor, error) { return nil, unsupported() }

func endGroup() { os.Exit(1) }

// Pause returns errors.ErrUnsupported.
func Pause(context.Context) error { return unsupported() }

type pauses struct{}

func (p *pauses) hear(*Actor, []byte) {}
func (p *pauses) answer([]byte)       {}
func (p *pauses) lose(*Actor)         {}
func (p *process) tellPause(bool)     {}
