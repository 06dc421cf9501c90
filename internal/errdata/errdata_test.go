package errdata_test

import (
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/internal/errdata"
)

// A failure has fields of each kind that matters.
type failure struct {
	Text   string
	First  error
	Others []error
	Typed  *failure
	Any    any
	Func   func()
	Map    map[string][]*failure
	secret int
}

func (f *failure) Error() string { return f.Text }

type code uint16

func (code) Error() string { return "code" }

func is(a, b error) bool { return a == b } //nolint:errorlint // the very same

func typeNamed(name string) reflect.Type {
	for _, t := range []reflect.Type{reflect.TypeFor[*failure](), reflect.TypeFor[code]()} {
		if errdata.Name(t) == name {
			return t
		}
	}
	return nil
}

func TestNameHasThePathOfThePackage(t *testing.T) {
	for want, of := range map[string]any{
		"*github.com/traigo/traigo/internal/errdata_test.failure": &failure{},
		"github.com/traigo/traigo/internal/errdata_test.code":     code(0),
		"struct { X int }": struct{ X int }{},
	} {
		assert.Equal(t, want, errdata.Name(reflect.TypeOf(of)))
	}
}

func TestErrorsComeBackInTheFieldsTheyWereIn(t *testing.T) {
	typed := &failure{Text: "typed"}
	whole := &failure{
		Text: "whole", First: io.EOF, Others: []error{nil, io.ErrNoProgress, io.ErrShortWrite}, Typed: typed, Any: 7, Func: func() {},
		Map: map[string][]*failure{"a": {{Text: "in a map"}}}, secret: 1,
	}
	data := errdata.Encode(whole, []error{io.ErrNoProgress, io.EOF, io.ErrUnexpectedEOF, typed, io.ErrShortWrite}, is)
	require.NotEmpty(t, data)
	typedHere := &failure{Text: "typed, here"}
	here := []error{errors.New("no progress"), io.EOF, nil, typedHere, errors.New("short write")}
	given, got := errdata.Decode(data, typeNamed, func(i int, fits func(error) bool) error {
		assert.True(t, fits(here[i]))
		assert.Equal(t, i == 3, !fits(code(0)))
		return here[i]
	})
	assert.Equal(t, here, given)
	assert.Equal(t, &failure{
		Text: "whole", First: io.EOF, Others: []error{here[0], here[4]}, Typed: typedHere, Any: 7,
		Map: map[string][]*failure{"a": {{Text: "in a map"}}},
	}, got)
	assert.Equal(t, typed, whole.Typed, "the error itself is as before")

	given, got = errdata.Decode(data, typeNamed, func(int, func(error) bool) error { return nil })
	assert.Equal(t, make([]error, 5), given)
	bare, _ := errors.AsType[*failure](got)
	assert.NoError(t, bare.First)
}

func TestErrorsThatAreNoStructs(t *testing.T) {
	_, got := errdata.Decode(errdata.Encode(code(7), nil, is), typeNamed, nil)
	assert.Equal(t, code(7), got)
}

func TestDataOfUnknownTypesIsNoError(t *testing.T) {
	_, got := errdata.Decode(errdata.Encode(code(7), nil, is), func(string) reflect.Type { return nil }, nil)
	assert.NoError(t, got)
	assert.Panics(t, func() { _, _ = errdata.Decode([]byte("no gob"), typeNamed, nil) })
}

func TestErrorsThatGobCannotEncodeHaveNoData(t *testing.T) {
	cyclic := &failure{}
	cyclic.Map = map[string][]*failure{"cyclic": {cyclic}}
	indirect := &failure{Any: new(any)}
	*indirect.Any.(*any) = indirect
	for name, err := range map[string]error{
		"contains itself": cyclic, "contains itself in an interface": indirect,
		"a type that gob does not know": &failure{Any: struct{}{}}, "nil in a slice": &failure{Map: map[string][]*failure{"a": {nil}}},
		"nil": (*failure)(nil),
	} {
		assert.Empty(t, errdata.Encode(err, nil, is), name)
	}
}
