package main

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/draw"
	_ "image/gif" // image.Decode decodes what is imported
	_ "image/jpeg"
	"image/png"
	"os"

	"github.com/traigo/traigo/proc"
)

// A job is what a worker is told: a path, since files that are open here are not open there.
type job struct {
	Path string
	Size int // of the longer side of the thumbnail, at most
}

// thumb runs in a worker. It is registered in a package variable, so the worker knows it too.
var thumb = proc.Func("thumb", func(_ context.Context, j job) ([]byte, error) {
	file, err := os.Open(j.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	picture, _, err := image.Decode(file)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = png.Encode(&out, shrink(picture, j.Size))
	return out.Bytes(), err
})

// shrink returns the picture with no side longer than size. A pixel of it is the mean of the
// pixels that it stands for.
func shrink(picture image.Image, size int) image.Image {
	from := picture.Bounds()
	longer := max(from.Dx(), from.Dy())
	if longer <= size {
		return picture
	}
	w, h := max(1, from.Dx()*size/longer), max(1, from.Dy()*size/longer)
	small := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		// The rows for one row of the thumbnail: all of them at once may be too large.
		top, bottom := y*from.Dy()/h, (y+1)*from.Dy()/h
		rows := image.NewRGBA(image.Rect(0, 0, from.Dx(), bottom-top))
		draw.Draw(rows, rows.Rect, picture, from.Min.Add(image.Pt(0, top)), draw.Src)
		for x := range w {
			left, right := x*from.Dx()/w, (x+1)*from.Dx()/w
			small.SetRGBA(x, y, mean(rows, image.Rect(left, 0, right, bottom-top)))
		}
	}
	return small
}

func mean(picture *image.RGBA, in image.Rectangle) color.RGBA {
	var r, g, b, a int
	for y := in.Min.Y; y < in.Max.Y; y++ {
		for x := in.Min.X; x < in.Max.X; x++ {
			c := picture.RGBAAt(x, y)
			r, g, b, a = r+int(c.R), g+int(c.G), b+int(c.B), a+int(c.A)
		}
	}
	n := in.Dx() * in.Dy()
	return color.RGBA{uint8(r / n), uint8(g / n), uint8(b / n), uint8(a / n)}
}
