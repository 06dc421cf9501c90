//go:build linux

package actor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// How values travel: A24.

func same[T any](name string) *actor.Function[T, T] {
	return exposed(actor.Func("values."+name, func(_ context.Context, v T) (T, error) {
		note("values", name)
		return v, nil
	}))
}

// travels requires that a value comes back as it was.
func travels[T any](ctx context.Context, t *testing.T, a *actor.Actor, f *actor.Function[T, T], values ...T) {
	t.Helper()
	for _, v := range values {
		got, err := f.Run(ctx, a, v)
		require.NoError(t, err, "%s: %+v", f.Name(), v)
		assert.Equal(t, v, got, f.Name())
	}
}

type entry struct {
	Name   string
	Nested *entry            `json:",omitempty"`
	Tags   map[string]string `json:"tags"`
	List   []float64
	hidden chan int // does not travel, and does not matter
	Not    func()   `json:"-"`
	Any    any
}

// A celsius travels by its own methods.
type celsius struct{ degrees float64 }

func (c celsius) MarshalBinary() ([]byte, error) { return fmt.Append(nil, "C", c.degrees), nil }
func (c *celsius) UnmarshalBinary(data []byte) error {
	_, err := fmt.Sscanf(string(data), "C%g", &c.degrees)
	return err
}

// An oneWay has only one of the two methods, so that it goes as JSON.
type oneWay struct{ N int }

func (oneWay) MarshalBinary() ([]byte, error) { return []byte("not JSON"), nil }

// A roman has methods for JSON alone, though it is a channel.
type roman chan int

func (roman) MarshalJSON() ([]byte, error)  { return []byte(`"X"`), nil }
func (r *roman) UnmarshalJSON([]byte) error { *r = make(roman, 10); return nil }

type named []byte

// awkward misbehaves in its methods as its value says.
type awkward struct{ how string }

func (a awkward) MarshalBinary() ([]byte, error) {
	switch a.how {
	case "panics here":
		panic("I do not travel")
	case "fails here":
		return nil, errMine
	case "Goexit here":
		runtime.Goexit()
	}
	return []byte(a.how), nil
}

func (a *awkward) UnmarshalBinary(data []byte) error {
	a.how = string(data)
	switch a.how {
	case "panics there":
		panic("I do not arrive")
	case "fails there":
		return errBoom
	}
	return nil
}

// An arrival is awkward after it has arrived: on its way back.
type arrival struct{ how string }

func (a arrival) MarshalBinary() ([]byte, error) {
	switch a.how {
	case "panics there!":
		panic("I do not return")
	case "fails there!":
		return nil, errBoom
	}
	return []byte(a.how), nil
}

func (a *arrival) UnmarshalBinary(data []byte) error {
	a.how = string(data)
	switch a.how {
	case "panics there", "fails there":
		a.how += "!"
	case "panics at home":
		if actor.Self().Path == "root" {
			panic("I have no place here")
		}
	case "fails at home":
		if actor.Self().Path == "root" {
			return errMine
		}
	}
	return nil
}

var (
	sameInt      = same[int]("int")
	sameString   = same[string]("string")
	sameFloat    = same[float64]("float")
	sameBool     = same[bool]("bool")
	sameAny      = same[any]("any")
	sameBytes    = same[[]byte]("bytes")
	sameNamed    = same[named]("named bytes")
	sameRaw      = same[json.RawMessage]("raw JSON")
	samePointer  = same[*int]("pointer")
	sameDeep     = same[**int]("pointer to pointer")
	sameSlice    = same[[]int]("slice")
	sameMap      = same[map[int]string]("map")
	sameArray    = same[[2]string]("array")
	sameRecord   = same[entry]("record")
	sameNothing  = same[none]("nothing")
	sameTime     = same[time.Time]("time")
	sameURL      = same[*url.URL]("URL")
	sameURLValue = same[url.URL]("URL value")
	sameCelsius  = same[celsius]("celsius")
	sameOneWay   = same[oneWay]("one way")
	sameRoman    = same[roman]("roman")
	sameAwkward  = same[awkward]("awkward")
	sameArrival  = same[arrival]("arrival")
	sameProto    = same[*wrapperspb.StringValue]("proto")
	sameStruct   = same[*structpb.Struct]("proto struct")
	toProto      = exposed(actor.Func("values.to proto", func(_ context.Context, n int) (*durationpb.Duration, error) {
		if n == 0 {
			return nil, nil //nolint:nilnil // it is what is tested
		}
		return durationpb.New(time.Duration(n)), nil
	}))
)

func TestValuesTravel(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		n := 5
		p := &n
		var nilInt *int
		travels(ctx, t, a, sameInt, 0, 1, -1, math.MaxInt64, math.MinInt64)
		travels(ctx, t, a, sameString, "", "a", "ä\x00\n\"<>&", strings.Repeat("long ", 100_000))
		travels(ctx, t, a, sameFloat, 0, 1.5, math.MaxFloat64, math.SmallestNonzeroFloat64)
		travels(ctx, t, a, sameBool, true, false)
		travels[any](ctx, t, a, sameAny, nil, "a", 1.5, []any{"a", nil}, map[string]any{"a": 1.0})
		travels(ctx, t, a, sameBytes, []byte{}, []byte{0}, []byte("\x00\xff"), make([]byte, 1_000_000))
		travels(ctx, t, a, sameNamed, nil, named{}, named("\x00\xff"))
		travels(ctx, t, a, sameRaw, json.RawMessage(`{"a":[1,2]}`), json.RawMessage("null"))
		travels(ctx, t, a, samePointer, nil, &n)
		travels(ctx, t, a, sameDeep, nil, &p)
		travels(ctx, t, a, sameSlice, nil, []int{}, []int{1, 2})
		travels(ctx, t, a, sameMap, nil, map[int]string{}, map[int]string{-1: "a"})
		travels(ctx, t, a, sameArray, [2]string{"a"})
		travels(ctx, t, a, sameRecord, entry{}, entry{Name: "a", Nested: &entry{Tags: map[string]string{"b": "c"}}, List: []float64{1}, Any: "d"})
		travels(ctx, t, a, sameNothing, none{})
		travels(ctx, t, a, sameTime, time.Time{}, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
		travels(ctx, t, a, sameURL, &url.URL{}, &url.URL{Scheme: "https", Host: "example.com", Path: "/ä b"})
		travels(ctx, t, a, sameURLValue, url.URL{Scheme: "https", Host: "example.com"})
		travels(ctx, t, a, sameCelsius, celsius{}, celsius{-273.15})
		travels(ctx, t, a, sameOneWay, oneWay{3})
		got, err := samePointer.Run(ctx, a, nilInt)
		require.NoError(t, err)
		assert.Nil(t, got)
		r, err := sameRoman.Run(ctx, a, nil)
		require.NoError(t, err)
		assert.Equal(t, 10, cap(r))
		b, err := sameBytes.Run(ctx, a, nil)
		require.NoError(t, err)
		assert.Empty(t, b)
		hidden, err := sameRecord.Run(ctx, a, entry{hidden: make(chan int), Not: func() {}})
		require.NoError(t, err)
		assert.Equal(t, entry{}, hidden)
	})
}

func TestProtobufMessagesTravelAsSuch(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, text := range []string{"", "a", strings.Repeat("ä", 1_000_000)} {
			got, err := sameProto.Run(ctx, a, wrapperspb.String(text))
			require.NoError(t, err)
			assert.Equal(t, text, got.GetValue())
		}
		s, err := structpb.NewStruct(map[string]any{"a": []any{1.0, "b", nil}})
		require.NoError(t, err)
		got, err := sameStruct.Run(ctx, a, s)
		require.NoError(t, err)
		assert.True(t, proto.Equal(s, got))
		_, err = sameStruct.Run(ctx, a, nil)
		require.NoError(t, err)
		d, err := toProto.Run(ctx, a, 7)
		require.NoError(t, err)
		assert.Equal(t, time.Duration(7), d.AsDuration())
		d, err = toProto.Run(ctx, a, 0)
		require.NoError(t, err)
		assert.Zero(t, d.AsDuration())
		_, err = sameProto.Run(ctx, a, wrapperspb.String("\xff"))
		require.Error(t, err, "it is no text")
		require.ErrorContains(t, err, "values.proto")
	})
}

// The bytes that a caller passes are its own when the call has returned, or a Send has.
func TestBytesMayBeChangedAfterwards(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		out, err := sumUp.Run(ctx, a, none{}, func(_ context.Context, _ none, p *actor.Peer[[]byte, []byte]) error {
			buf := make([]byte, 5000)
			for i := range 200 {
				buf[0], buf[4999] = byte(i), byte(i)
				if err := p.Send(buf); err != nil {
					return err
				}
			}
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, 200, out)
		in := []byte("unchanged")
		got, err := sameBytes.Run(ctx, a, in)
		require.NoError(t, err)
		copy(got, "other")
		assert.Equal(t, "unchanged", string(in))
	})
}

// sumUp returns how many of its items are as they were sent.
var sumUp = exposed(actor.Dialog("values.sum", func(_ context.Context, _ none, begin actor.Started[none, []byte, []byte]) (int, error) {
	p, err := begin(none{})
	if err != nil {
		return 0, err
	}
	n := 0
	var all [][]byte
	for item, err := range p.Items() {
		if err != nil {
			return 0, err
		}
		all = append(all, item)
	}
	for i, item := range all { // an item is nobody else's
		if item[0] == byte(i) && item[4999] == byte(i) {
			n++
		}
	}
	return n, nil
}))

func TestItemsThatWereReceivedStayAsTheyAre(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		var all [][]byte
		for item, err := range flowing.Run(ctx, a, flow{N: 500, Size: 3000}) {
			require.NoError(t, err)
			all = append(all, item)
		}
		for i, item := range all {
			require.Equal(t, i, number(item))
		}
	})
}

func TestWhatCannotBeEncodedIsTheCallsError(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, how := range []string{"panics here", "fails here"} {
			_, err := sameAwkward.Run(ctx, a, awkward{how})
			require.ErrorContains(t, err, "the argument of \"values.awkward\"", how)
			_, ok := errors.AsType[*actor.Error](err)
			assert.False(t, ok, "it is one of this process")
			if how == "fails here" {
				assert.ErrorIs(t, err, errMine)
			}
		}
		_, err := sameAny.Run(ctx, a, make(chan int))
		require.ErrorContains(t, err, "values.any")
		_, err = sameFloat.Run(ctx, a, math.NaN())
		require.ErrorContains(t, err, "values.float")
		var noURL *url.URL
		_, err = sameURL.Run(ctx, a, noURL)
		require.ErrorContains(t, err, "values.URL")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = sameAwkward.Run(ctx, a, awkward{"Goexit here"})
		}()
		<-ended
		assert.Empty(t, notes(ctx, t, a, "values"), "nothing has run")
		for _, err := range awkwardSource.Run(ctx, a, awkward{"fails here"}) {
			require.ErrorIs(t, err, errMine)
		}
		_, err = awkwardDialog.Run(ctx, a, awkward{"fails here"}, func(context.Context, none, *actor.Peer[awkward, arrival]) error { return nil })
		require.ErrorIs(t, err, errMine)
		travels(ctx, t, a, sameAwkward, awkward{"goes"})
	})
}

func TestWhatCannotBeDecodedIsTheCallsErrorAndNothingRuns(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, how := range []string{"panics there", "fails there"} {
			_, err := sameAwkward.Run(ctx, a, awkward{how})
			requireUndecodable(t, err, a, how, "the argument of \"values.awkward\"")
			for _, err := range awkwardSource.Run(ctx, a, awkward{how}) {
				requireUndecodable(t, err, a, how, "the argument of \"values.awkward source\"")
			}
			_, err = awkwardDialog.Run(ctx, a, awkward{how}, func(context.Context, none, *actor.Peer[awkward, arrival]) error {
				assert.Fail(t, "the body runs")
				return nil
			})
			requireUndecodable(t, err, a, how, "the argument of \"values.awkward dialog\"")
		}
		assert.Empty(t, notes(ctx, t, a, "values"), "nothing has run")
		require.NoError(t, a.Err())
	})
}

func requireUndecodable(t *testing.T, err error, a *actor.Actor, how, what string) {
	t.Helper()
	require.ErrorContains(t, err, what)
	failure, ok := errors.AsType[*actor.Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, a.ID(), failure.From)
	if how == "fails there" {
		require.ErrorIs(t, err, errBoom)
	}
}

func TestAResultThatCannotTravelIsTheCallsError(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, how := range []string{"panics there", "fails there"} {
			_, err := sameArrival.Run(ctx, a, arrival{how})
			requireUndecodable(t, err, a, how, "the result of \"values.arrival\"")
		}
		for _, how := range []string{"panics at home", "fails at home"} {
			_, err := sameArrival.Run(ctx, a, arrival{how})
			require.ErrorContains(t, err, "the result of \"values.arrival\"")
			if how == "fails at home" {
				require.ErrorIs(t, err, errMine)
			}
		}
		assert.Len(t, notes(ctx, t, a, "values"), 4, "they have run")
		require.NoError(t, a.Err())
	})
}

var (
	awkwardSource = exposed(actor.Source("values.awkward source", func(ctx context.Context, v awkward) iter.Seq2[arrival, error] {
		return func(yield func(arrival, error) bool) {
			note("values", "awkward source")
			defer note("values", "awkward source ends")
			if yield(arrival{"first"}, nil) && yield(arrival(v), nil) {
				for yield(arrival{"more"}, nil) {
				}
			}
		}
	}))
	awkwardDialog = exposed(actor.Dialog("values.awkward dialog", func(ctx context.Context, v awkward, begin actor.Started[none, arrival, awkward]) (string, error) {
		note("values", "awkward dialog")
		p, err := begin(none{})
		if err != nil {
			return "", err
		}
		if v.how != "" {
			if err := p.Send(arrival(v)); err != nil {
				return "Send: " + err.Error(), nil
			}
		}
		n := 0
		for {
			v, err := p.Recv()
			switch {
			case err != nil && strings.Contains(err.Error(), "decode"):
				note("values", "Recv: "+err.Error())
				continue // it is not the end of the dialog
			case err != nil:
				return fmt.Sprint(n, " ", err), nil
			}
			n++
			note("values", v.how)
		}
	}))
)

func TestItemsThatCannotTravelEndTheirStream(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, how := range []string{"panics there!", "fails there!", "panics at home", "fails at home"} {
			n := 0
			var last error
			for item, err := range awkwardSource.Run(ctx, a, awkward{how}) {
				if last = err; err != nil {
					assert.Zero(t, item)
					continue
				}
				n++
			}
			require.ErrorContains(t, last, "an item of \"values.awkward source\"", how)
			assert.Equal(t, 1, n)
			switch how {
			case "fails there!":
				require.ErrorIs(t, last, errBoom)
			case "fails at home":
				require.ErrorIs(t, last, errMine)
			}
		}
		assert.Len(t, notes(ctx, t, a, "values"), 8, "each has ended")
	})
}

func TestItemsOfADialogThatCannotTravelAreErrorsOfSendAndRecv(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, how := range []string{"panics there!", "fails there!"} {
			out, err := awkwardDialog.Run(ctx, a, awkward{how}, func(context.Context, none, *actor.Peer[awkward, arrival]) error { return nil })
			require.NoError(t, err)
			assert.Contains(t, out, "Send: ")
			assert.Contains(t, out, "values.awkward dialog")
		}
		for _, how := range []string{"panics at home", "fails at home"} {
			_, err := awkwardDialog.Run(ctx, a, awkward{how}, func(_ context.Context, _ none, p *actor.Peer[awkward, arrival]) error {
				_, err := p.Recv()
				require.ErrorContains(t, err, "values.awkward dialog")
				require.ErrorContains(t, p.Send(awkward{"panics here"}), "values.awkward dialog")
				require.NoError(t, p.Send(awkward{"fails there"}), "which fails there")
				require.NoError(t, p.Send(awkward{"panics there"}))
				return p.Send(awkward{"goes " + how})
			})
			require.NoError(t, err)
			all := notes(ctx, t, a, "values")
			assert.Equal(t, "goes "+how, all[len(all)-1], "the dialog has gone on")
		}
	})
}

// 64 MiB.

const most = 64 << 20

var (
	sizeOf = exposed(actor.Func("values.size", func(_ context.Context, b []byte) (int, error) {
		note("values.size", "runs")
		return len(b), nil
	}))
	ofSize       = exposed(actor.Func("values.of size", func(_ context.Context, n int) ([]byte, error) { return make([]byte, n), nil }))
	ofSizeSource = exposed(actor.Source("values.source of size", func(ctx context.Context, n int) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			if yield([]byte("first"), nil) {
				yield(make([]byte, n), nil)
			}
		}
	}))
	ofSizeDialog = exposed(actor.Dialog("values.dialog of size", func(ctx context.Context, n int, begin actor.Started[[]byte, []byte, []byte]) ([]byte, error) {
		p, err := begin(make([]byte, n))
		if err != nil {
			return nil, err
		}
		item, err := p.Recv()
		if err != nil {
			return nil, err
		}
		if err := p.Send(item); err != nil {
			return nil, err
		}
		return item, nil
	}))
)

func TestAMessageHasAtMost64MiB(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		n, err := sizeOf.Run(ctx, a, make([]byte, most))
		require.NoError(t, err)
		assert.Equal(t, most, n)
		_, err = sizeOf.Run(ctx, a, make([]byte, most+1))
		requireTooLarge(t, err, "the argument of \"values.size\"")
		assert.Len(t, notes(ctx, t, a, "values.size"), 1, "the other one has not run")

		b, err := ofSize.Run(ctx, a, most)
		require.NoError(t, err)
		assert.Len(t, b, most)
		_, err = ofSize.Run(ctx, a, most+1)
		requireTooLarge(t, err, "the result of \"values.of size\"")
		failure, ok := errors.AsType[*actor.Error](err)
		require.True(t, ok)
		assert.Equal(t, a.ID(), failure.From)

		n = 0
		for item, err := range ofSizeSource.Run(ctx, a, most) {
			require.NoError(t, err)
			n += len(item)
		}
		assert.Equal(t, most+5, n)
		n = 0
		for item, err := range ofSizeSource.Run(ctx, a, most+1) {
			if n++; n == 2 {
				assert.Nil(t, item)
				requireTooLarge(t, err, "an item of \"values.source of size\"")
				continue
			}
			require.NoError(t, err)
		}
		assert.Equal(t, 2, n)

		b, err = ofSizeDialog.Run(ctx, a, most, func(_ context.Context, first []byte, p *actor.Peer[[]byte, []byte]) error {
			assert.Len(t, first, most)
			requireTooLarge(t, p.Send(make([]byte, most+1)), "\"values.dialog of size\"")
			if err := p.Send(first); err != nil {
				return err
			}
			item, err := p.Recv()
			assert.Len(t, item, most)
			return err
		})
		require.NoError(t, err)
		assert.Len(t, b, most)
		_, err = ofSizeDialog.Run(ctx, a, most+1, func(context.Context, []byte, *actor.Peer[[]byte, []byte]) error { return nil })
		requireTooLarge(t, err, "the first value of \"values.dialog of size\"")
		_, err = square.Run(ctx, a, 1)
		require.NoError(t, err)
	})
}

func requireTooLarge(t *testing.T, err error, what string) {
	t.Helper()
	require.ErrorContains(t, err, what)
	require.ErrorContains(t, err, fmt.Sprint(most))
}
