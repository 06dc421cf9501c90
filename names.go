package traigo

import (
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// What scopes and tasks are called. Default names are worked out when somebody
// asks for them.

// ID returns the number of the scope, unique in the process.
func (s *Scope) ID() uint64 {
	s.check("ID")
	return s.id
}

// Name returns the name given by [Name], or the default one: the body's
// function for Run, "scope#ID" for others.
func (s *Scope) Name() string {
	s.check("Name")
	switch {
	case s.name != nil && *s.name != "":
		return *s.name
	case s.body != nil:
		return funcName(pcOf(s.body))
	default:
		return "scope#" + strconv.FormatUint(s.id, 10)
	}
}

// Path returns the names of the scopes from the root down to this one, joined
// by slashes.
func (s *Scope) Path() string {
	s.check("Path")
	if s.parent == nil {
		return s.Name()
	}
	// Joined once: with a text for each scope on the way a tree of depth n would cost n³
	// where all are asked, as in a snapshot.
	names := make([]string, 0, 8)
	for ; s != nil; s = s.parent {
		names = append(names, s.Name())
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// Scope returns the scope that the task lives in.
func (t *Task) Scope() *Scope { return t.scope }

// ID returns the number of the task, unique in its scope.
func (t *Task) ID() uint64 { return t.id }

// Name returns the name given by [Name], or that of the task's function: in
// joins with its place among the functions or items, as in "fetch[2]".
func (t *Task) Name() string {
	if t.name != nil && *t.name != "" {
		return *t.name
	}
	if m := t.more.Load(); m != nil && m.pc != 0 {
		if m.nth > 0 {
			return funcName(m.pc) + "[" + strconv.Itoa(m.nth-1) + "]"
		}
		return funcName(m.pc)
	}
	return funcName(pcOf(t.fn))
}

// Path returns the path of the task's scope and the task's name, joined by a
// slash.
func (t *Task) Path() string { return t.scope.Path() + "/" + t.Name() }

// pcOf is where a function's code begins.
func pcOf(fn any) uintptr { return reflect.ValueOf(fn).Pointer() }

// funcName is the name of a function without its package.
func funcName(pc uintptr) string {
	f := runtime.FuncForPC(pc)
	if f == nil {
		return "func"
	}
	name := f.Name()
	name = name[strings.LastIndexByte(name, '/')+1:]
	if _, after, ok := strings.Cut(name, "."); ok {
		name = after
	}
	return strings.TrimSuffix(name, "-fm")
}
