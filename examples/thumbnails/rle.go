package main

import (
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"io"
)

// An image in the format rle has a header, the colors, and steps which add pixels until there
// are enough of them.
//
// The decoder is naive, on purpose. It takes for granted that the file was made by a program
// that had no bad intentions, as decoders do before somebody tries them with other files. Each of
// its three mistakes, all marked below, is one that decoders in wide use have had.

type rleHeader struct {
	Magic         [4]byte // rleMagic
	Width, Height uint16
	Colors        uint8
}

const rleMagic = "rle\n"

// An rleStep adds pixels to those that are there.
type rleStep struct {
	Do, Color uint8
	N         uint16
}

const (
	rleRun    = iota // N pixels of a color
	rleRepeat        // the last N pixels, again and again, to the end of the row
	rleDouble        // all pixels once more
)

//nolint:gochecknoinits // as the packages of the standard library register their formats; a worker needs it before Serve
func init() { image.RegisterFormat("rle", rleMagic, decodeRLE, decodeRLEConfig) }

func decodeRLEConfig(r io.Reader) (image.Config, error) {
	var h rleHeader
	err := binary.Read(r, binary.BigEndian, &h)
	return image.Config{ColorModel: color.RGBAModel, Width: int(h.Width), Height: int(h.Height)}, err
}

func decodeRLE(r io.Reader) (image.Image, error) {
	var h rleHeader
	if err := binary.Read(r, binary.BigEndian, &h); err != nil {
		return nil, err
	}
	colors := make([][3]byte, h.Colors)
	if err := binary.Read(r, binary.BigEndian, colors); err != nil {
		return nil, err
	}
	row := 4 * int(h.Width) // in bytes, four for a pixel
	size := row * int(h.Height)
	var pix []byte
	for len(pix) < size {
		var step rleStep
		if err := binary.Read(r, binary.BigEndian, &step); errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		} else if err != nil {
			return nil, err
		}
		switch step.Do {
		case rleRun:
			c := colors[step.Color] // mistake: panics if there is no such color
			for range step.N {
				pix = append(pix, c[0], c[1], c[2], 0xff)
			}
		case rleRepeat:
			end := len(pix) - len(pix)%row + row
			for len(pix) < end { // mistake: never ends if N is 0
				pix = append(pix, pix[len(pix)-4*int(step.N):]...)
			}
			pix = pix[:end]
		case rleDouble:
			pix = append(pix, pix...) // mistake: what a few bytes ask for may be larger than the memory
		}
	}
	return &image.RGBA{Pix: pix[:size], Stride: row, Rect: image.Rect(0, 0, int(h.Width), int(h.Height))}, nil
}
