package supervise

import (
	"context"
	"reflect"
	"runtime"
	"strings"

	"github.com/traigo/traigo"
)

// What is wrapped keeps its name: the core would name a task after the wrapper.

// nameOf is the name of a function without its package, as the core has it.
func nameOf(fn any) string {
	f := runtime.FuncForPC(reflect.ValueOf(fn).Pointer())
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

// taskName is the name of the task that ctx is in; "" if there is none.
func taskName(ctx context.Context) string {
	if t := traigo.CurrentTask(ctx); t != nil {
		return t.Name()
	}
	return ""
}
