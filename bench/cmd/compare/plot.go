package main

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A line shows the time per task of one way, by the number of tasks.
type line struct {
	name   string
	points plotter.XYs
}

func (l *line) add(tasks int, ns float64) {
	l.points = append(l.points, plotter.XY{X: float64(tasks), Y: max(ns, 1)})
}

// colors can be distinguished by people with red-green color blindness.
var colors = []color.Color{
	color.RGBA{0xd5, 0x5e, 0x00, 0xff}, color.RGBA{0x00, 0x00, 0x00, 0xff},
	color.RGBA{0x56, 0xb4, 0xe9, 0xff}, color.RGBA{0x00, 0x72, 0xb2, 0xff},
	color.RGBA{0x00, 0x9e, 0x73, 0xff}, color.RGBA{0xcc, 0x79, 0xa7, 0xff},
	color.RGBA{0x99, 0x99, 0x99, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff},
}

func drawPlot(lines []line) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "Short tasks on two processors"
	p.X.Label.Text = "tasks in one scope (or group, or pool)"
	p.Y.Label.Text = "ns per task"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = powers{}, powers{}
	p.Legend.Top, p.Legend.XOffs = true, -vg.Centimeter
	p.Legend.Padding = vg.Points(2)
	p.Add(plotter.NewGrid())
	for i, l := range lines {
		curve, points, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return nil, err
		}
		curve.Color, points.Color = colors[i%len(colors)], colors[i%len(colors)]
		points.Shape = draw.CircleGlyph{}
		if i == 0 {
			curve.Width = vg.Points(3)
		}
		p.Add(curve, points)
		p.Legend.Add(l.name, curve, points)
	}
	return p, nil
}

// powers makes the ticks of a logarithmic axis. The powers of ten have labels like 10,000.
type powers struct{}

func (powers) Ticks(low, high float64) []plot.Tick {
	ticks := plot.LogTicks{Prec: -1}.Ticks(low, high)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = number(int(t.Value))
		}
	}
	return ticks
}

func drawTo(path string, lines []line) error {
	p, err := drawPlot(lines)
	if err != nil {
		return err
	}
	return p.Save(18*vg.Centimeter, 11*vg.Centimeter, path)
}
