package actor

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// A field that is new in a RemoteError has to be sent as well.
func TestErrorTravelsWithAllItsFields(t *testing.T) {
	leaf := traigo.RemoteError{}
	fields := reflect.ValueOf(&leaf).Elem()
	for i := range fields.NumField() {
		switch f := fields.Field(i); f.Interface().(type) {
		case string:
			f.SetString(fields.Type().Field(i).Name)
		case bool:
			f.SetBool(true)
		case []byte:
			f.SetBytes([]byte{0, 1, 2})
		case []*traigo.RemoteError:
		default:
			t.Fatalf("a field of type %v", f.Type())
		}
	}
	sent := &traigo.RemoteError{Msg: "two causes", Causes: []*traigo.RemoteError{&leaf, {Msg: "another one"}}}
	got, err := parseError(appendError(nil, sent))
	require.NoError(t, err)
	assert.Equal(t, sent, got)
}

func TestErrorOfTheWrongFormIsRefused(t *testing.T) {
	data := appendError(nil, &traigo.RemoteError{Msg: "oh", Causes: []*traigo.RemoteError{{Msg: "no"}}})
	for n := range data {
		_, err := parseError(data[:n])
		assert.ErrorIs(t, err, errFrame, "%d bytes", n)
	}
	deep := &traigo.RemoteError{}
	for range maxErrors {
		deep = &traigo.RemoteError{Causes: []*traigo.RemoteError{deep}}
	}
	_, err := parseError(appendError(nil, deep))
	assert.ErrorIs(t, err, errFrame)
}
