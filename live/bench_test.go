package live_test

import (
	"testing"
	"time"

	"github.com/traigo/traigo/live"
)

// What a look at 100,000 costs: the snapshot, and what is made of it.
func BenchmarkLook(b *testing.B) {
	for _, row := range crowds {
		s := filled(row.fill)
		b.Run(row.name+"/snapshot", func(b *testing.B) {
			for b.Loop() {
				s.Snapshot()
			}
		})
		shot, m := s.Snapshot(), &live.Memory{}
		b.Run(row.name+"/text", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				live.Text(m, time.Now(), "", shot)
			}
		})
		_ = s.Close()
	}
}
