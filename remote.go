package traigo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"github.com/sourcegraph/conc/panics"

	"github.com/traigo/traigo/internal/errdata"
	"github.com/traigo/traigo/internal/stackdump"
)

// Errors that come from elsewhere: AsRemote makes plain data of a tree of errors, and
// RemoteError.Unwrap makes errors of it that errors.Is and errors.As find.

// A RemoteError is an error made in another process, or on another machine. It is plain
// data: encoded and decoded, by encoding/json or encoding/gob for example, it is the same.
//
// errors.Is finds in it the values given to [RegisterError], and errors.As the types given
// to [RegisterErrorType], if both sides have registered them. It finds, without that, io.EOF,
// io.ErrUnexpectedEOF, io.ErrClosedPipe, the two errors of package context, those of
// package fs whose names begin with Err, os.ErrDeadlineExceeded, os.ErrProcessDone,
// errors.ErrUnsupported, syscall.Errno, *fs.PathError, and the errors of this package.
type RemoteError struct {
	Type     string         `json:"type"`               // Go type there, as %T prints it
	Msg      string         `json:"msg"`                // text there
	Where    string         `json:"where,omitempty"`    // where it was made: "process 4711"
	Stack    string         `json:"stack,omitempty"`    // of a [*PanicError]
	Sentinel bool           `json:"sentinel,omitempty"` // it is a value given to [RegisterError]
	Data     []byte         `json:"data,omitempty"`     // its value, if its type was given to [RegisterErrorType]
	Causes   []*RemoteError `json:"causes,omitempty"`   // what it wraps, in order
}

// Error returns e.Msg.
func (e *RemoteError) Error() string { return e.Msg }

// Unwrap returns the registered value that e stands for, or a value of its registered type,
// which is a new one at each call; and those Causes that this value does not wrap itself.
func (e *RemoteError) Unwrap() []error {
	loose, value := e.restore()
	var all []error
	if value != nil {
		all = append(all, value)
	}
	for _, c := range loose {
		if c != nil {
			all = append(all, c)
		}
	}
	return all
}

// Format writes the error as Error does or, with %+v, with its type, where it was made and
// its stack, and each cause on a line of its own.
func (e *RemoteError) Format(f fmt.State, verb rune) { format(f, verb, e) }

// LogValue returns the text of the format %+v.
func (e *RemoteError) LogValue() slog.Value { return slog.StringValue(safeDetail(e)) }

// detail is the text of the format %+v, of at most left errors. within is the Where of the
// error that wraps e.
func (e *RemoteError) detail(within string, left *int) string {
	if *left--; e == nil || *left < 0 {
		return ""
	}
	notes := []string{e.Type, e.Where}
	if e.Where == within {
		notes[1] = ""
	}
	var b strings.Builder
	b.WriteString(oneLine(e.Msg))
	if notes = slices.DeleteFunc(notes, func(note string) bool { return note == "" }); len(notes) > 0 {
		b.WriteString(" (" + strings.Join(notes, ", ") + ")")
	}
	b.WriteString(indented(stackdump.Fold(e.Stack)))
	for _, c := range e.Causes {
		b.WriteString(indented(c.detail(e.Where, left)))
	}
	return b.String()
}

const (
	maxRemote     = 100      // how many errors of a tree become RemoteErrors
	maxRemoteText = 64 << 10 // bytes of each of their texts
)

// AsRemote returns err as it is to be seen elsewhere. where is what "here" is called there:
// "process 4711". The result has at most 100 errors of the tree, the outermost ones, and
// 64 KiB of each text. An error that cannot be encoded, or whose methods panic, is a type and
// a text there. AsRemote returns a *RemoteError unchanged, unless it exceeds these bounds, and
// nil if err is nil.
func AsRemote(err error, where string) *RemoteError {
	if err == nil {
		return nil
	}
	if e, ok := err.(*RemoteError); ok {
		if left := maxRemote; e == nil || e.fits(&left) {
			return e
		}
	}
	type node struct {
		err error
		is  *RemoteError
	}
	where = cut(where)
	root := &RemoteError{}
	nodes := []node{{err, root}}
	for i := 0; i < len(nodes); i++ {
		n := nodes[i]
		for _, inner := range n.is.describe(n.err, where) {
			if len(nodes) == maxRemote {
				break
			}
			below := &RemoteError{}
			n.is.Causes = append(n.is.Causes, below)
			nodes = append(nodes, node{inner, below})
		}
	}
	return root
}

// fits reports whether e is within the bounds, and *left errors are enough for it.
func (e *RemoteError) fits(left *int) bool {
	if *left--; e == nil || *left < 0 || max(len(e.Type), len(e.Msg), len(e.Where), len(e.Stack)) > maxRemoteText {
		return false
	}
	return !slices.ContainsFunc(e.Causes, func(c *RemoteError) bool { return !c.fits(left) })
}

// describe sets all fields of e but Causes, and returns the errors that are to be those.
func (e *RemoteError) describe(err error, where string) (inner []error) {
	inner = unwrapped(err)
	inner = inner[:min(len(inner), maxRemote)]
	if old, ok := err.(*RemoteError); ok && old != nil {
		*e = RemoteError{cut(old.Type), cut(old.Msg), cut(old.Where), cut(old.Stack), old.Sentinel, old.Data, nil}
		return inner
	}
	e.Type, e.Msg, e.Where = cut(fmt.Sprintf("%T", err)), message(err), where
	if e.Sentinel = same(registered.value(e), err); e.Sentinel {
		return inner
	}
	if p, ok := err.(*PanicError); ok && p != nil && p.Recovered != nil {
		e.Stack = cut(string(p.Recovered.Stack))
	}
	e.Data = encode(err, inner)
	return append(inner, registered.alsoIs(err, e)...)
}

// cut returns the beginning of a text that a RemoteError has. It is valid UTF-8, since JSON
// would change it otherwise.
func cut(text string) string {
	if n := maxRemoteText; len(text) > n {
		for n > maxRemoteText-utf8.UTFMax && !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n]
	}
	return strings.ToValidUTF8(text, "?")
}

// message returns the text of any error. Its Error may panic.
func message(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = cut(textOf(err))
		}
	}()
	if p, ok := err.(*PanicError); ok {
		return cut(p.line())
	}
	return cut(err.Error())
}

// unwrapped returns what err wraps: Causes if it is a RemoteError. Its Unwrap may panic.
func unwrapped(err error) (inner []error) {
	defer func() {
		if recover() != nil {
			inner = nil
		}
	}()
	switch x := err.(type) {
	case *RemoteError:
		for _, c := range x.Causes {
			if c != nil {
				inner = append(inner, c)
			}
		}
		return inner
	case interface{ Unwrap() error }:
		inner = []error{x.Unwrap()}
	case interface{ Unwrap() []error }:
		inner = slices.Clone(x.Unwrap()) // it may be a part of err
	}
	return slices.DeleteFunc(inner, func(err error) bool { return err == nil })
}

// encode returns the Data of err, which wraps inner; nil if its type is not registered, or it
// cannot be encoded.
func encode(err error, inner []error) []byte {
	t := reflect.TypeOf(err)
	if registered.typeNamed(errdata.Name(t)) != t {
		return nil
	}
	if p, ok := err.(*PanicError); ok && p != nil && p.Recovered != nil {
		// The stack has a field, and the value may be of any type: it is in inner, or a text.
		err = &PanicError{Task: p.Task, Recovered: &panics.Recovered{Value: cut(fmt.Sprint(p.Recovered.Value))}}
	}
	return errdata.Encode(err, inner, isCause)
}

// restore returns the value that e stands for, if it is known here, and those of the Causes
// that the value does not wrap. Data that AsRemote has not made harms nothing.
func (e *RemoteError) restore() (loose []*RemoteError, value error) {
	if e.Sentinel {
		if value = registered.value(e); value != nil {
			return nil, value // what it wraps is here
		}
	}
	if len(e.Data) == 0 {
		return e.Causes, nil
	}
	defer func() {
		if recover() != nil {
			loose, value = e.Causes, nil
		}
	}()
	given, value := errdata.Decode(e.Data, registered.typeNamed, e.cause)
	if value == nil {
		return e.Causes, nil
	}
	n := min(len(given), len(e.Causes))
	wrapped, others := e.Causes[:n], e.Causes[n:] // others: see alsoIs
	locals := func() (all []error) {
		for _, c := range wrapped {
			all = append(all, c.local())
		}
		return all
	}
	switch v := value.(type) {
	case *PanicError:
		if v.Recovered != nil {
			v.Recovered.Stack = []byte(e.Stack)
			if given = locals(); n > 0 {
				v.Recovered.Value = given[0]
			}
		}
	case *Cancellation:
		if len(others) > 0 {
			v.ctxErr, others = others[0].local(), nil
		}
	case interface{ WithCause(err error) error }:
		if given = locals(); n > 1 {
			given = slices.Repeat([]error{errors.Join(given...)}, n)
		}
		if n > 0 {
			value = v.WithCause(given[0])
		}
	}
	inner := unwrapped(value)
	for i, c := range wrapped {
		if !slices.ContainsFunc(inner, func(err error) bool { return same(err, given[i]) }) {
			loose = append(loose, c)
		}
	}
	return append(loose, others...), value
}

// cause returns the i-th of the Causes, or its value, whichever fits; nil if neither does.
func (e *RemoteError) cause(i int, fits func(error) bool) error {
	if i >= len(e.Causes) {
		return nil
	}
	if err := e.Causes[i].local(); fits(err) {
		return err
	}
	if _, err := e.Causes[i].restore(); err != nil && fits(err) {
		return err
	}
	return nil
}

// local returns the value that e stands for, if it is known here and says all that e does;
// e otherwise. So a field that was io.EOF or a syscall.Errno is that again.
func (e *RemoteError) local() error {
	if e.Sentinel || len(e.Causes) == 0 {
		if _, value := e.restore(); value != nil && message(value) == e.Msg {
			return value
		}
	}
	return e
}

// A registry holds what [RegisterError] and [RegisterErrorType] were given, and what is
// known without them.
type registry struct {
	mu     sync.Mutex // nothing foreign is called while it is held
	byText map[typeAndText]error
	values []error                 // those of byText, in the order in which they were registered; only appended to
	types  map[string]reflect.Type // by their full names
}

// A typeAndText is what is known of a registered value where it arrives.
type typeAndText struct{ typ, text string }

var registered = newRegistry()

func newRegistry() *registry {
	r := &registry{byText: map[typeAndText]error{}, types: map[string]reflect.Type{}}
	for _, value := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, context.Canceled, context.DeadlineExceeded,
		fs.ErrInvalid, fs.ErrPermission, fs.ErrExist, fs.ErrNotExist, fs.ErrClosed,
		os.ErrDeadlineExceeded, os.ErrProcessDone, errors.ErrUnsupported, ErrRefused, ErrGoexit, ErrNotReady,
	} {
		r.addValue(value)
	}
	for _, of := range []error{
		syscall.ENOENT, // of type syscall.Errno, except on Plan 9
		(*fs.PathError)(nil), (*Cancellation)(nil), (*Error)(nil), (*PanicError)(nil), (*StuckError)(nil), (*TaskError)(nil), (*TimeoutError)(nil),
	} {
		r.addType(reflect.TypeOf(of))
	}
	return r
}

// RegisterError makes errors.Is find values, such as variables made by errors.New, in a
// [RemoteError]. It is to be called for the same values, by init or in package variables,
// in every process. What counts is that an error was the registered value where AsRemote was
// called, and not its text. Values of one type need different texts. RegisterError panics
// for two values of one type and text, for nil, and for a value that == panics for; to
// register a value again has no effect.
func RegisterError(values ...error) {
	for _, value := range values {
		if value == nil {
			panic("traigo: RegisterError: nil error; pass the value that errors.Is is to find")
		}
		if !same(value, value) {
			panic(fmt.Sprintf("traigo: RegisterError(%T): values of this type cannot be compared; register the type by RegisterErrorType", value))
		}
		if !registered.addValue(value) {
			panic(fmt.Sprintf("traigo: RegisterError: another error of type %T with the text %q is registered; give one of them another text", value, message(value)))
		}
	}
}

// RegisterErrorType makes errors.As find errors of type T in a [RemoteError], with their
// exported fields as encoding/gob has them. It is to be called for the same types, by init
// or in package variables, in every process. A field whose type is error, another such
// interface, or a slice of those gets back the errors that the value wraps. If T keeps what
// it wraps elsewhere, it can have a method WithCause(error) error. That is called with what
// the value wraps, if it wraps an error, and returns the value that wraps it.
//
// A value that gob cannot encode, since a field holds a type that gob does not know for
// example, is not found. RegisterErrorType panics if T is an interface, and if another type
// has its name; to register a type again has no effect.
func RegisterErrorType[T error]() {
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Interface {
		panic("traigo: RegisterErrorType: " + t.String() + " is an interface; register the types that implement it")
	}
	if !registered.addType(t) {
		panic("traigo: RegisterErrorType: another type named " + errdata.Name(t) + " is registered; types declared in functions need different names")
	}
}

func keyOf(value error) typeAndText {
	return typeAndText{cut(fmt.Sprintf("%T", value)), message(value)}
}

// addValue reports false if there is another value with that type and text.
func (r *registry) addValue(value error) bool {
	key := keyOf(value)
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.byText[key]; ok {
		return same(old, value)
	}
	r.byText[key] = value
	r.values = append(r.values, value)
	return true
}

// addType reports false if there is another type with that name.
func (r *registry) addType(t reflect.Type) bool {
	name := errdata.Name(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.types[name]; ok {
		return old == t
	}
	r.types[name] = t
	return true
}

// value returns the value with the type and text of e; nil if there is none.
func (r *registry) value(e *RemoteError) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byText[typeAndText{e.Type, e.Msg}]
}

// typeNamed returns the type with that full name; nil if there is none.
func (r *registry) typeNamed(name string) reflect.Type {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.types[name]
}

// alsoIs returns what err is besides, by its own method Is: registered values that it does
// not wrap. It leaves out those that the value made of e knows by itself.
func (r *registry) alsoIs(err error, e *RemoteError) (also []error) {
	defer func() { _ = recover() }()
	if c, ok := err.(*Cancellation); ok {
		if c.ctxErr != nil && !same(c.ctxErr, ctxErrOf(c.Kind)) {
			also = append(also, c.ctxErr)
		}
		return also
	}
	type matcher interface{ Is(target error) bool }
	x, ok := err.(matcher)
	if !ok {
		return nil
	}
	r.mu.Lock()
	values := r.values
	r.mu.Unlock()
	_, value := e.restore()
	there, known := value.(matcher)
	for _, value := range values {
		if x.Is(value) && (!known || !there.Is(value)) {
			also = append(also, value)
		}
	}
	return also
}
