package actor

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

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

// An unread is a control stream on which messages have come.
type unread struct {
	grpc.ClientStream
	frames []outbound
}

func (u *unread) RecvMsg(m any) error {
	if len(u.frames) == 0 {
		return errConnection
	}
	var data []byte
	for _, part := range u.frames[0] {
		data = append(data, part.ReadOnlyData()...)
	}
	u.frames = u.frames[1:]
	m.(*inbound).buf = mem.SliceBuffer(data)
	return nil
}

// Who was dialed may be any program: what it says wrongly ends the connection, not this process.
func TestWhatIsSaidTwiceEndsTheConnection(t *testing.T) {
	for _, frame := range []outbound{controlFrame(ended, 0, encodeJSON(ending{})), controlFrame(sayWelcome, 0, encodeJSON(welcome{}))} {
		l := &link{control: &unread{frames: []outbound{frame, frame}}, welcomed: make(chan welcome, 1), ended: make(chan struct{})}
		assert.ErrorIs(t, l.receiveAll(), errFrame)
	}
}

func TestAFailureAmongManyCancellationsIsOne(t *testing.T) {
	var all []error
	for range 200 {
		all = append(all, context.Canceled)
	}
	assert.True(t, hasFailure(errors.Join(append(all, errors.New("oh"))...)))
	assert.False(t, hasFailure(errors.Join(context.Canceled, context.DeadlineExceeded)))
}

func TestRebaseMovesThePathsOfThoseThatAreBlocked(t *testing.T) {
	shot := traigo.Snapshot{Path: "a/full", Blocked: []string{"a/full/x"}}
	rebase(&shot, "root/a", "a", 71)
	assert.Equal(t, []string{"root/a/full/x"}, shot.Blocked)
}
