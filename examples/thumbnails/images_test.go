package main

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The images in testdata are made by UPDATE=1 go test ./examples/thumbnails.
func TestTestdataIsWhatIsMadeHere(t *testing.T) {
	made := makeImages(t)
	for name, data := range made {
		path := filepath.Join("testdata", name)
		if os.Getenv("UPDATE") != "" {
			require.NoError(t, os.WriteFile(path, data, 0o644))
		}
		have, err := os.ReadFile(path)
		require.NoError(t, err)
		if filepath.Ext(name) == ".rle" { // the encoders of another Go version may do better
			assert.Equal(t, data, have, name)
		}
	}
	entries, err := os.ReadDir("testdata")
	require.NoError(t, err)
	assert.Len(t, entries, len(made))
}

// makeImages returns four images that are in order, one in each format, and five that are not.
func makeImages(t *testing.T) map[string][]byte {
	t.Helper()
	encoded := func(encode func(io.Writer) error) []byte {
		var b bytes.Buffer
		require.NoError(t, encode(&b))
		return b.Bytes()
	}
	wide := encoded(func(w io.Writer) error { return png.Encode(w, gradient(300, 200)) })
	tall := encoded(func(w io.Writer) error { return jpeg.Encode(w, gradient(160, 320), nil) })
	tiny := encoded(func(w io.Writer) error { return gif.Encode(w, chart(48, 32), nil) })
	flag := rle(240, 160,
		rleStep{Do: rleRun, Color: 0, N: 80}, rleStep{Do: rleRun, Color: 1, N: 80}, rleStep{Do: rleRun, Color: 2, N: 80},
		rleStep{Do: rleRepeat, N: 240}, rleStep{Do: rleDouble}, rleStep{Do: rleDouble}, rleStep{Do: rleDouble},
		rleStep{Do: rleDouble}, rleStep{Do: rleDouble}, rleStep{Do: rleDouble}, rleStep{Do: rleDouble})
	bomb := []rleStep{{Do: rleRun, Color: 1, N: 100}}
	for range 28 {
		bomb = append(bomb, rleStep{Do: rleDouble})
	}
	return map[string][]byte{
		"flag.rle": flag,
		"tall.jpg": tall,
		"tiny.gif": tiny,
		"wide.png": wide,

		"bomb.rle":      rle(65535, 65535, bomb...), // 16 GiB from 134 bytes
		"color.rle":     rle(240, 160, rleStep{Do: rleRun, Color: 7, N: 80}),
		"loop.rle":      rle(240, 160, rleStep{Do: rleRun, N: 80}, rleStep{Do: rleRepeat, N: 0}),
		"truncated.jpg": tall[:len(tall)/2],
		"truncated.rle": flag[:len(flag)/2],
	}
}

func gradient(w, h int) image.Image {
	picture := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			picture.SetRGBA(x, y, color.RGBA{uint8(255 * x / w), uint8(255 * y / h), 128, 255})
		}
	}
	return picture
}

func chart(w, h int) image.Image {
	picture := image.NewPaletted(image.Rect(0, 0, w, h), palette.WebSafe)
	for i := range picture.Pix {
		picture.Pix[i] = uint8(i % w * 4)
	}
	return picture
}

// rle returns an image of three colors.
func rle(w, h uint16, steps ...rleStep) []byte {
	header := rleHeader{Width: w, Height: h, Colors: 3}
	copy(header.Magic[:], rleMagic)
	var b bytes.Buffer
	for _, part := range []any{header, [][3]byte{{200, 30, 40}, {250, 250, 240}, {20, 60, 160}}, steps} {
		_ = binary.Write(&b, binary.BigEndian, part)
	}
	return b.Bytes()
}

func TestRLEIsDecodedAsItWasMeant(t *testing.T) {
	picture, format, err := image.Decode(bytes.NewReader(makeImages(t)["flag.rle"]))
	require.NoError(t, err)
	assert.Equal(t, "rle", format)
	assert.Equal(t, image.Rect(0, 0, 240, 160), picture.Bounds())
	for x, want := range map[int]color.RGBA{79: {200, 30, 40, 255}, 80: {250, 250, 240, 255}, 239: {20, 60, 160, 255}} {
		assert.Equal(t, want, picture.At(x, 0))
		assert.Equal(t, want, picture.At(x, 159))
	}
}

func TestShrinkKeepsTheShapeAndTheMean(t *testing.T) {
	for _, row := range []struct{ from, to image.Point }{
		{image.Pt(300, 200), image.Pt(128, 85)},
		{image.Pt(160, 320), image.Pt(64, 128)},
		{image.Pt(128, 5), image.Pt(128, 5)},
		{image.Pt(5000, 3), image.Pt(128, 1)},
	} {
		small := shrink(gradient(row.from.X, row.from.Y), 128)
		assert.Equal(t, row.to, small.Bounds().Size())
		middle := small.At(row.to.X/2, row.to.Y/2).(color.RGBA)
		assert.InDelta(t, 127, middle.R, 6)
		assert.EqualValues(t, 128, middle.B)
	}
}
