package export

import (
	"encoding/binary"
	"io"
	"strings"

	"github.com/traigo/traigo/record/history"
)

// Perfetto writes the history to w as a Perfetto trace (TrackEvent protobuf), for
// ui.perfetto.dev and trace_processor.
//
// Each process has a track, and each scope and task one of its own, below that of the scope
// or task that it belongs to or, if that is in another process, below that of its process. An
// unfinished one has a slice without an end. Flows lead to a canceled scope from the cause,
// and to the root of a process from the task that has started it.
func Perfetto(w io.Writer, h *history.History) error {
	return writeTo(w, func(out sink) {
		p := &perfettoWriter{out: out}
		processes := make(map[*history.Process]uint64, len(h.Processes))
		for i, process := range h.Processes {
			processes[process] = firstTrack + uint64(i)
			p.process(h, process, firstTrack+uint64(i))
		}
		first := firstTrack + uint64(len(h.Processes))
		tracks := make(map[*slice]uint64)
		for i, sl := range slicesOf(h) {
			uuid := first + uint64(i)
			tracks[sl] = uuid
			up := processes[sl.scope.Process]
			if sl.up != nil && sl.up.scope.Process == sl.scope.Process {
				up = tracks[sl.up]
			}
			p.track(sl, uuid, up)
			p.slice(sl, uuid)
		}
	})
}

// Field numbers and values from Perfetto's trace_packet.proto, track_descriptor.proto,
// process_descriptor.proto, track_event.proto and debug_annotation.proto.
const (
	tracePacket = 1

	packetTimestamp  = 8
	packetSequence   = 10
	packetTrackEvent = 11
	packetFlags      = 13
	packetTrack      = 60
	stateCleared     = 1 // of packetFlags: this packet and later ones do not depend on earlier ones

	trackUUID       = 1
	trackName       = 2
	trackProcess    = 3
	trackParent     = 5
	trackOrder      = 11
	trackMerge      = 15
	byTime          = 2 // of trackOrder
	neverMerged     = 2 // of trackMerge: without it, tracks with the same name and parent share a row
	firstTrack      = 1 // the uuid of the track of the first process
	processPID      = 1
	processName     = 6
	processLabels   = 8
	packetSequenceN = 1

	eventAnnotations = 4
	eventType        = 9
	eventTrack       = 11
	eventCategories  = 22
	eventName        = 23
	eventFlows       = 47
	eventLastFlows   = 48
	typeBegin        = 1
	typeEnd          = 2
	typeInstant      = 3

	noteBool   = 2
	noteString = 6
	noteName   = 10
)

type perfettoWriter struct {
	out     sink
	b, m, n message // the packet, the message in it, and a message in that; reused
}

// process writes the track of a process. The first has what is missing of all.
func (p *perfettoWriter) process(h *history.History, process *history.Process, uuid uint64) {
	name := processTitle(h, process)
	p.n = p.n[:0].number(processPID, max(process.ID, 1))
	p.n = p.n.text(processName, name)
	if uuid == firstTrack {
		for _, warning := range warnings(h) {
			p.n = p.n.text(processLabels, warning)
		}
	} else if !process.Closed {
		p.n = p.n.text(processLabels, stopsShort(h, process))
	}
	p.m = p.m[:0].number(trackUUID, uuid)
	p.m = p.m.text(trackName, name)
	p.m = p.m.bytes(trackProcess, p.n)
	p.m = p.m.number(trackOrder, byTime)
	p.b = p.b[:0]
	if uuid == firstTrack {
		p.b = p.b.number(packetFlags, stateCleared)
	}
	p.packet(packetTrack)
}

func (p *perfettoWriter) track(sl *slice, uuid, up uint64) {
	p.m = p.m[:0].number(trackUUID, uuid)
	p.m = p.m.text(trackName, sl.name)
	p.m = p.m.number(trackParent, up)
	if sl.task == nil || len(sl.task.Scopes) > 0 {
		p.m = p.m.number(trackOrder, byTime)
		p.m = p.m.number(trackMerge, neverMerged) // merging it would also merge the tracks below
	}
	p.b = p.b[:0]
	p.packet(packetTrack)
}

func (p *perfettoWriter) slice(sl *slice, uuid uint64) {
	p.m = p.m[:0].number(eventType, typeBegin)
	p.m = p.m.number(eventTrack, uuid)
	p.m = p.m.text(eventCategories, sl.kind())
	p.m = p.m.text(eventName, sl.name)
	for _, f := range sl.facts() {
		p.n = p.n[:0].text(noteName, f.key)
		if f.flag {
			p.n = p.n.number(noteBool, 1)
		} else {
			p.n = p.n.text(noteString, f.text)
		}
		p.m = p.m.bytes(eventAnnotations, p.n)
	}
	p.event(uint64(sl.begin))
	for _, mark := range sl.marks {
		if mark.spawn && !mark.far {
			continue // shown by the nesting of tracks
		}
		p.mark(mark, uuid)
	}
	if !sl.open {
		p.m = p.m[:0].number(eventType, typeEnd)
		p.m = p.m.number(eventTrack, uuid)
		p.event(uint64(sl.end))
	}
}

// mark writes an instant event, which is also an end of a flow if the mark has an arrow.
func (p *perfettoWriter) mark(mark mark, uuid uint64) {
	name := mark.name
	switch {
	case name != "":
	case mark.spawn && mark.from:
		name = "starts a process"
	case mark.spawn:
		name = "started"
	case mark.from:
		name = "cancels"
	default:
		name = "canceled"
	}
	p.m = p.m[:0].number(eventType, typeInstant)
	p.m = p.m.number(eventTrack, uuid)
	p.m = p.m.text(eventCategories, "mark")
	p.m = p.m.text(eventName, name)
	switch {
	case mark.arrow == 0:
	case mark.from:
		p.m = p.m.fixed(eventFlows, mark.arrow)
	default:
		p.m = p.m.fixed(eventLastFlows, mark.arrow)
	}
	p.event(uint64(mark.at))
}

func (p *perfettoWriter) event(at uint64) {
	p.b = p.b[:0].number(packetTimestamp, at)
	p.packet(packetTrackEvent)
}

// packet appends m to b as a field, and writes b.
func (p *perfettoWriter) packet(field uint64) {
	p.b = p.b.number(packetSequence, packetSequenceN)
	p.b = p.b.bytes(field, p.m)
	head := p.n[:0].varint(tracePacket<<3 | 2).varint(uint64(len(p.b)))
	p.out.bytes(head)
	p.out.bytes(p.b)
}

// A message is an encoded protobuf message to which fields are appended. Each field begins
// with its number and wire type.
type message []byte

func (m message) varint(n uint64) message { return binary.AppendUvarint(m, n) }

func (m message) number(field, n uint64) message { return m.varint(field << 3).varint(n) }

func (m message) fixed(field, n uint64) message {
	return binary.LittleEndian.AppendUint64(m.varint(field<<3|1), n)
}

func (m message) bytes(field uint64, inner []byte) message {
	return append(m.varint(field<<3|2).varint(uint64(len(inner))), inner...)
}

func (m message) text(field uint64, s string) message {
	s = strings.ToValidUTF8(s, "�")
	return append(m.varint(field<<3|2).varint(uint64(len(s))), s...)
}
