package export_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

// A pbField is a decoded field of a protobuf message.
type pbField struct {
	number uint64
	value  uint64
	bytes  []byte
}

func pbRead(t *testing.T, text []byte) (fields []pbField) {
	t.Helper()
	varint := func() uint64 {
		v, n := binary.Uvarint(text)
		require.Positive(t, n)
		text = text[n:]
		return v
	}
	for len(text) > 0 {
		tag := varint()
		f := pbField{number: tag >> 3}
		switch tag & 7 {
		case 0:
			f.value = varint()
		case 1:
			f.value = binary.LittleEndian.Uint64(text)
			text = text[8:]
		case 2:
			n := varint()
			f.bytes, text = text[:n], text[n:]
		default:
			require.Fail(t, "no such wire type")
		}
		fields = append(fields, f)
	}
	return fields
}

type pfTrack struct {
	name   string
	parent uint64
	merge  uint64
	begin  uint64
	end    *uint64
	title  string
	cat    string
	facts  map[string]string
	marks  []string
}

// perfettoOf decodes a trace as trace_processor does.
func perfettoOf(t *testing.T, h *history.History) (tracks map[uint64]*pfTrack, from, to map[uint64]uint64) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, export.Perfetto(&b, h))
	tracks, from, to = map[uint64]*pfTrack{}, map[uint64]uint64{}, map[uint64]uint64{}
	for i, packet := range pbRead(t, b.Bytes()) {
		require.EqualValues(t, 1, packet.number)
		var at, sequence, flags uint64
		var event, track []byte
		for _, f := range pbRead(t, packet.bytes) {
			switch f.number {
			case 8:
				at = f.value
			case 10:
				sequence = f.value
			case 11:
				event = f.bytes
			case 13:
				flags = f.value
			case 60:
				track = f.bytes
			default:
				require.Fail(t, "no such field of a packet", f.number)
			}
		}
		require.EqualValues(t, 1, sequence)
		require.Equal(t, i == 0, flags == 1, "the first packet clears the state")
		if track != nil {
			pfTrackOf(t, track, tracks)
		} else {
			pfEventOf(t, event, at, tracks, from, to)
		}
	}
	return tracks, from, to
}

func pfTrackOf(t *testing.T, text []byte, tracks map[uint64]*pfTrack) {
	t.Helper()
	var uuid uint64
	track := &pfTrack{facts: map[string]string{}}
	for _, f := range pbRead(t, text) {
		switch f.number {
		case 1:
			uuid = f.value
		case 2:
			track.name = string(f.bytes)
		case 3:
			track.cat = "process"
		case 5:
			track.parent = f.value
			require.Contains(t, tracks, f.value, "parents come first")
		case 11:
		case 15:
			track.merge = f.value
		default:
			require.Fail(t, "no such field of a track", f.number)
		}
	}
	require.NotZero(t, uuid)
	require.NotContains(t, tracks, uuid)
	tracks[uuid] = track
}

func pfEventOf(t *testing.T, text []byte, at uint64, tracks map[uint64]*pfTrack, from, to map[uint64]uint64) {
	t.Helper()
	var kind, uuid uint64
	var name, cat string
	facts := map[string]string{}
	for _, f := range pbRead(t, text) {
		switch f.number {
		case 9:
			kind = f.value
		case 11:
			uuid = f.value
		case 22:
			cat = string(f.bytes)
		case 23:
			name = string(f.bytes)
		case 4:
			var key, value string
			for _, f := range pbRead(t, f.bytes) {
				switch f.number {
				case 10:
					key = string(f.bytes)
				case 2:
					value = "true"
				case 6:
					value = string(f.bytes)
				}
			}
			facts[key] = value
		case 47:
			from[f.value] = at
		case 48:
			to[f.value] = at
		default:
			require.Fail(t, "no such field of an event", f.number)
		}
	}
	track := tracks[uuid]
	require.NotNil(t, track, "an event on a track that is not there")
	require.Nil(t, track.end, "an event after the end")
	require.GreaterOrEqual(t, at, track.begin)
	switch kind {
	case 1:
		require.Empty(t, track.title, "one slice on a track")
		track.begin, track.title, track.cat, track.facts = at, name, cat, facts
	case 2:
		track.end = &at
	case 3:
		track.marks = append(track.marks, name)
	default:
		require.Fail(t, "no such type", kind)
	}
}

func perfettoCheck(t *testing.T, h *history.History) {
	t.Helper()
	tracks, from, to := perfettoOf(t, h)
	require.Len(t, to, len(from))
	for id, at := range from {
		require.Contains(t, to, id)
		require.LessOrEqual(t, at, to[id])
	}
	got, want := map[string]int{}, map[string]int{}
	for _, track := range tracks {
		if track.cat == "process" {
			continue
		}
		end := "unfinished"
		if track.end != nil {
			end = fmt.Sprint(*track.end)
		}
		got[fmt.Sprint(track.cat, " ", track.title, " in ", tracks[track.parent].title, " ", track.facts["state"], " ", track.begin, " ", end)]++
	}
	add := func(kind, name, up string, state any, begin, end int64) {
		text := "unfinished"
		if end >= 0 {
			text = fmt.Sprint(end)
		}
		want[fmt.Sprint(kind, " ", drawable(name), " in ", drawable(up), " ", state, " ", begin, " ", text)]++
	}
	for _, s := range h.Scopes {
		up := ""
		if s.By != nil {
			up = s.By.Name
		} else if s.Parent != nil {
			up = s.Parent.Name
		}
		add("scope", s.Name, up, s.State, int64(s.Opened), int64(s.Closed))
		for _, task := range s.Tasks {
			add("task", task.Name, s.Name, task.State, int64(task.Spawned), int64(task.Ended))
		}
	}
	require.Equal(t, want, got)
}

func TestPerfettoTraceTellsTheSameStory(t *testing.T) {
	eachHistory(t, perfettoCheck)
}

func TestPerfettoTraceSaysWhoCanceled(t *testing.T) {
	tracks, from, to := perfettoOf(t, logtest.Read(t, logtest.Chat))
	byName := map[string]*pfTrack{}
	for _, track := range tracks {
		byName[track.title] = track
	}
	assert.Equal(t, []string{"cancels"}, byName["accept"].marks)
	assert.Equal(t, []string{"canceled: task failed: accept: too many open files", "cancels"}, byName["server"].marks)
	assert.Equal(t, []string{"canceled: parent canceled"}, byName["conn"].marks)
	assert.Equal(t, "accept: too many open files", byName["accept"].facts["err"])
	assert.Equal(t, "true", byName["accept"].facts["master"])
	assert.Equal(t, "server/accept", byName["conn"].facts["culprit"])
	assert.Len(t, from, 2)
	assert.Len(t, to, 2)
	assert.EqualValues(t, 2, byName["server"].merge)
	assert.EqualValues(t, 2, byName["accept"].merge, "it has a scope below it")
}
