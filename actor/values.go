package actor

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// How values travel, by their types.

// maxMessage is how many bytes a value may take.
const maxMessage = 64 << 20

// A codec encodes and decodes the values of one type.
type codec[T any] struct {
	what      string // the values are, for errors
	marshal   func(v T) ([]byte, error)
	unmarshal func(data []byte, v *T) error // nil for []byte
	isCopied  bool                          // what marshal returns belongs to the caller, who may change it
}

// codecOf returns the codec of a type. It panics if the type has none: where is what declares
// it, and role is what it is for the function of that name.
func codecOf[T any](where, role, name string) codec[T] {
	c := codecOfType[T](where, role)
	c.what = fmt.Sprintf("%s of %q", role, name)
	return c
}

func codecOfType[T any](where, role string) codec[T] {
	t := reflect.TypeFor[T]()
	var none T
	switch {
	case t == reflect.TypeFor[[]byte]():
		return codec[T]{
			marshal:  func(v T) ([]byte, error) { return any(v).([]byte), nil },
			isCopied: true,
		}
	case t.Implements(reflect.TypeFor[proto.Message]()) && t.Kind() == reflect.Pointer:
		return codec[T]{
			marshal: func(v T) ([]byte, error) { return proto.Marshal(any(v).(proto.Message)) },
			unmarshal: func(data []byte, v *T) error {
				*v = reflect.New(t.Elem()).Interface().(T)
				return proto.Unmarshal(data, any(*v).(proto.Message))
			},
		}
	case t.Kind() == reflect.Pointer && hasBoth(none):
		return codec[T]{
			marshal: func(v T) ([]byte, error) { return any(v).(encoding.BinaryMarshaler).MarshalBinary() },
			unmarshal: func(data []byte, v *T) error {
				*v = reflect.New(t.Elem()).Interface().(T)
				return any(*v).(encoding.BinaryUnmarshaler).UnmarshalBinary(data)
			},
			isCopied: true,
		}
	case t.Kind() != reflect.Interface && hasBoth(&none):
		return codec[T]{
			marshal:   func(v T) ([]byte, error) { return any(&v).(encoding.BinaryMarshaler).MarshalBinary() },
			unmarshal: func(data []byte, v *T) error { return any(v).(encoding.BinaryUnmarshaler).UnmarshalBinary(data) },
			isCopied:  true,
		}
	}
	if why := cannotTravel(t, map[reflect.Type]bool{}); why != "" {
		panic(fmt.Sprintf("traigo: %s: %s of type %v cannot travel: %s", where, role, t, why))
	}
	return codec[T]{
		marshal:   func(v T) ([]byte, error) { return json.Marshal(v) },
		unmarshal: func(data []byte, v *T) error { return json.Unmarshal(data, v) },
	}
}

func hasBoth(v any) bool {
	_, canMarshal := v.(encoding.BinaryMarshaler)
	_, canUnmarshal := v.(encoding.BinaryUnmarshaler)
	return canMarshal && canUnmarshal
}

// cannotTravel returns why encoding/json cannot encode all values of the type; "" if it can.
func cannotTravel(t reflect.Type, seen map[reflect.Type]bool) string {
	if seen[t] {
		return ""
	}
	seen[t] = true
	encodes := func(t reflect.Type) bool {
		return t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
	}
	if t.Kind() != reflect.Interface && (encodes(t) || encodes(reflect.PointerTo(t))) {
		return ""
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Sprintf("%v has no form in JSON", t)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return fmt.Sprintf("what is in a %v could not be decoded", t)
		}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return cannotTravel(t.Elem(), seen)
	case reflect.Map:
		if key := t.Key(); !isKey(key) && !encodes(key) {
			return fmt.Sprintf("a %v cannot be a key in JSON", key)
		}
		return cannotTravel(t.Elem(), seen)
	case reflect.Struct:
		for field := range t.Fields() {
			if tag, _, _ := strings.Cut(field.Tag.Get("json"), ","); tag == "-" && field.Tag.Get("json") == "-" || !field.IsExported() && !field.Anonymous {
				continue
			}
			if why := cannotTravel(field.Type, seen); why != "" {
				return "field " + field.Name + ": " + why
			}
		}
	default:
	}
	return ""
}

func isKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	default:
		return false
	}
}

// encode returns a value as it is sent, with a tail behind it.
func (c *codec[T]) encode(v T, tail ...byte) (buf mem.Buffer, err error) {
	defer func() {
		if value := recover(); value != nil { // a method of the value
			buf, err = nil, fmt.Errorf("traigo: %s cannot be encoded: panic: %v", c.what, value)
		}
	}()
	data, err := c.marshal(v)
	if err != nil {
		return nil, fmt.Errorf("traigo: %s cannot be encoded: %w", c.what, err)
	}
	if len(data) > maxMessage {
		return nil, fmt.Errorf("traigo: %s takes %d bytes, of at most %d in one message: pass the path of a file, or use an actor.Source", c.what, len(data), maxMessage)
	}
	if c.isCopied { // gRPC reads it after the call has returned
		return copied(data, tail), nil
	}
	return mem.SliceBuffer(append(data, tail...)), nil
}

func copied(data, tail []byte) mem.Buffer {
	n := len(data) + len(tail)
	if mem.IsBelowBufferPoolingThreshold(n) {
		return mem.SliceBuffer(append(append(make([]byte, 0, n), data...), tail...))
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(n)
	copy((*buf)[copy(*buf, data):], tail)
	return mem.NewBuffer(buf, pool)
}

// decode is the inverse of encode.
func (c *codec[T]) decode(data []byte) (v T, err error) {
	if c.unmarshal != nil {
		return c.decodeValue(data)
	}
	*any(&v).(*[]byte) = append([]byte{}, data...)
	return v, nil
}

func (c *codec[T]) decodeValue(data []byte) (v T, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v", value)
		}
		if err != nil {
			var none T
			v, err = none, fmt.Errorf("traigo: %s cannot be decoded: %w", c.what, err)
		}
	}()
	err = c.unmarshal(data, &v)
	return v, err
}
