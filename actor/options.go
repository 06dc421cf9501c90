package actor

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/traigo/traigo"
)

// An Option is an option of [Start] and of Function.Spawn.
type Option struct{ apply func(*options) }

type options struct {
	exposed    []Exposable
	isFindable bool
	grace      time.Duration
	record     string
	task       []traigo.TaskOption
}

const defaultGrace = 5 * time.Second

func optionsOf(opts []Option) *options {
	o := &options{grace: defaultGrace}
	for _, opt := range opts {
		if opt.apply == nil {
			panic("traigo: actor: an Option is the zero value: use the functions that return one")
		}
		opt.apply(o)
	}
	return o
}

// Expose says what may be run in the actor, whoever asks: without it nothing. Spawn exposes its
// own function. Expose panics if a function is nil.
func Expose(fns ...Exposable) Option {
	mustNotHoldNil("Expose", fns)
	return Option{func(o *options) { o.exposed = append(o.exposed, fns...) }}
}

func mustNotHoldNil(call string, fns []Exposable) {
	for _, fn := range fns {
		if fn == nil || fn.isNil() {
			panic(fmt.Sprintf("traigo: actor.%s: a function is nil", call))
		}
	}
}

// Findable has [Find] and [Wait] find the actor by its name.
func Findable() Option { return Option{func(o *options) { o.isFindable = true }} }

// Grace is how long the actor has to end when it is asked to, and a function in it when it is
// canceled; the default is 5 s. An actor whose parent was itself asked to end has at most 3/4
// of what that was given. With 0 it is killed at once. Grace panics if d is negative.
func Grace(d time.Duration) Option {
	if d < 0 {
		panic(fmt.Sprintf("traigo: actor.Grace(%v): a duration is not negative", d))
	}
	return Option{func(o *options) { o.grace = d }}
}

// Record makes the actor, and all actors below it, record themselves in a folder, which is
// made if it is not there. Each writes a file PATH-PID.jsonl, with dots instead of slashes, by
// record.Create; "traigo view DIR" shows them as one. Record panics if dir is empty.
func Record(dir string) Option {
	if dir == "" {
		panic("traigo: actor.Record: the folder has no name")
	}
	if full, err := filepath.Abs(dir); err == nil {
		dir = full
	}
	return Option{func(o *options) { o.record = dir }}
}

// Task gives options to the task that stands for the actor: flags, OnDone and, for Spawn, Name.
func Task(opts ...traigo.TaskOption) Option {
	return Option{func(o *options) { o.task = append(o.task, opts...) }}
}

// A StreamOption is an option of Sequence.Run and Conversation.Run.
type StreamOption struct{ overrun int }

// Overrun has items taken off the connection as they come, and kept until they are asked for.
// When n are kept, the next one ends the stream: after the n it yields [ErrOverrun], and the
// other side is canceled. Without Overrun the sender waits. Overrun panics if n is below 1.
func Overrun(n int) StreamOption {
	if n < 1 {
		panic(fmt.Sprintf("traigo: actor.Overrun(%d): at least one item is kept", n))
	}
	return StreamOption{n}
}

func overrunOf(opts []StreamOption) (n int) {
	for _, o := range opts {
		n = o.overrun
	}
	return n
}
