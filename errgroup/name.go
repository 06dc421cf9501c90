package errgroup

import (
	"reflect"
	"runtime"
	"strings"

	"github.com/traigo/traigo"
)

// A label is the name of the function at pc, as an option.
type label struct {
	pc   uintptr
	name traigo.TaskOption
}

// nameOf names a task after its function. The last label is kept: most groups call Go in
// a loop, with the same code each time.
func (g *Group) nameOf(f func() error) traigo.TaskOption {
	pc := reflect.ValueOf(f).Pointer()
	l := g.label.Load()
	if l == nil || l.pc != pc {
		l = &label{pc, traigo.Name(funcName(pc))}
		g.label.Store(l)
	}
	return l.name
}

// funcName is the name of a function without its package, as traigo has it.
func funcName(pc uintptr) string {
	f := runtime.FuncForPC(pc)
	if f == nil {
		return "func"
	}
	path := f.Name()
	_, name, found := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], ".")
	if !found {
		name = path
	}
	return strings.TrimSuffix(name, "-fm")
}
