// Package errdata encodes the value of an error by gob, without the errors that it wraps:
// those have an encoding of their own, and are put back where they were.
package errdata

import (
	"bytes"
	"encoding"
	"encoding/gob"
	"reflect"
	"slices"
)

// maxValues is the number of values in an error that Encode takes.
const maxValues = 100_000

// A head is what the data begins with.
type head struct {
	Type   string // see Name
	Fields []int  // the field of the struct that each wrapped error was in; -1 for none
}

var errorType = reflect.TypeFor[error]()

// Name returns the name of the type with the path of its package.
func Name(t reflect.Type) string {
	switch {
	case t.Name() != "":
		return t.PkgPath() + "." + t.Name()
	case t.Kind() == reflect.Pointer:
		return "*" + Name(t.Elem())
	default:
		return t.String()
	}
}

// Encode returns the exported fields of err as gob has them; nil if gob cannot encode it.
// inner is what err wraps. Fields that hold one of those are left out, and so are fields of
// interface types that are errors, whose types gob would have to know. is compares errors.
func Encode(err error, inner []error, is func(a, b error) bool) (data []byte) {
	defer func() {
		if recover() != nil { // of a method of err
			data = nil
		}
	}()
	t := reflect.TypeOf(err)
	v := reflect.New(t).Elem() // a variable, since a method GobEncode may need one
	v.Set(reflect.ValueOf(err))
	v = reflect.Indirect(v)
	h := head{Name(t), slices.Repeat([]int{-1}, len(inner))}
	if v.Kind() == reflect.Struct && !encodesItself(v.Addr().Interface()) {
		v = withoutErrors(v, func(i int, f reflect.Value) bool {
			err, _ := reflect.TypeAssert[error](f)
			for k := range inner {
				if h.Fields[k] < 0 && is(err, inner[k]) {
					h.Fields[k] = i
					return true
				}
			}
			return false
		})
	}
	var b bytes.Buffer
	to := gob.NewEncoder(&b)
	if left := maxValues; !isFinite(v, &left) || to.Encode(h) != nil || to.EncodeValue(v) != nil {
		return nil
	}
	return b.Bytes()
}

func encodesItself(pointer any) bool {
	switch pointer.(type) {
	case gob.GobEncoder, encoding.BinaryMarshaler:
		return true
	default:
		return false
	}
}

// withoutErrors returns a shallow copy of the exported fields of v. isInner says of the
// value of field i, or of an element of it, whether it is an error to leave out.
func withoutErrors(v reflect.Value, isInner func(i int, f reflect.Value) bool) reflect.Value {
	without := reflect.New(v.Type()).Elem()
	for i := range v.NumField() {
		f, of := v.Field(i), v.Type().Field(i)
		switch {
		case !of.IsExported():
		case isErrorInterface(of.Type):
			isInner(i, f)
		case of.Type.Kind() == reflect.Slice && isErrorInterface(of.Type.Elem()):
			for k := range f.Len() {
				if !f.Index(k).IsNil() && !isInner(i, f.Index(k)) {
					break
				}
			}
		case of.Type.Implements(errorType) && isInner(i, f):
		default:
			without.Field(i).Set(f)
		}
	}
	return without
}

func isErrorInterface(t reflect.Type) bool {
	return t.Kind() == reflect.Interface && t.Implements(errorType)
}

// isFinite reports whether v has at most *left values: gob does not return from one that
// contains itself.
func isFinite(v reflect.Value, left *int) bool {
	if *left--; *left < 0 {
		return false
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return v.IsNil() || isFinite(v.Elem(), left)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && !isFinite(v.Field(i), left) {
				return false
			}
		}
	case reflect.Slice, reflect.Array:
		if isScalar(v.Type().Elem()) {
			return true
		}
		for i := range v.Len() {
			if !isFinite(v.Index(i), left) {
				return false
			}
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			if !isFinite(key, left) || !isFinite(value, left) {
				return false
			}
		}
	default: // it has no other values
	}
	return true
}

func isScalar(t reflect.Type) bool {
	return t.Kind() <= reflect.Complex128 || t.Kind() == reflect.String
}

// Decode is the inverse of Encode. typeNamed returns the type with a name; if that is nil,
// decoded is nil. put returns the i-th of the errors that were wrapped, if it has one that
// fits a field; given are those errors, with nil for one that was in no field. Decode panics
// for data that Encode has not made.
func Decode(data []byte, typeNamed func(name string) reflect.Type, put func(i int, fits func(error) bool) error) (given []error, decoded error) {
	from := gob.NewDecoder(bytes.NewReader(data))
	var h head
	if err := from.Decode(&h); err != nil {
		panic(err)
	}
	t := typeNamed(h.Type)
	if t == nil {
		return nil, nil
	}
	variable := reflect.New(t).Elem()
	v := variable
	if t.Kind() == reflect.Pointer {
		variable.Set(reflect.New(t.Elem()))
		v = variable.Elem()
	}
	if err := from.DecodeValue(v.Addr()); err != nil {
		panic(err)
	}
	given = make([]error, len(h.Fields))
	for i, field := range h.Fields {
		if field >= 0 {
			given[i] = setField(v.Field(field), func(fits func(error) bool) error { return put(i, fits) })
		}
	}
	decoded, _ = reflect.TypeAssert[error](variable)
	return given, decoded
}

// setField sets f to the error that put returns, or appends it to f, and returns it.
func setField(f reflect.Value, put func(fits func(error) bool) error) error {
	of, isList := f.Type(), f.Kind() == reflect.Slice && !f.Type().Implements(errorType)
	if isList {
		of = of.Elem()
	}
	err := put(func(err error) bool { return reflect.TypeOf(err).AssignableTo(of) })
	switch {
	case err == nil:
	case isList:
		f.Set(reflect.Append(f, reflect.ValueOf(err)))
	default:
		f.Set(reflect.ValueOf(err))
	}
	return err
}
