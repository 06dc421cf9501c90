package bench

import (
	"testing"
	"time"
)

func BenchmarkSpawn(b *testing.B)      { run(b, "Spawn") }
func BenchmarkSpawners(b *testing.B)   { run(b, "Spawners") }
func BenchmarkGroups(b *testing.B)     { run(b, "Groups") }
func BenchmarkPark(b *testing.B)       { run(b, "Park") }
func BenchmarkParkDone(b *testing.B)   { run(b, "ParkDone") }
func BenchmarkCancel(b *testing.B)     { run(b, "Cancel") }
func BenchmarkOne(b *testing.B)        { run(b, "One") }
func BenchmarkLive(b *testing.B)       { run(b, "Live") }
func BenchmarkLiveScopes(b *testing.B) { run(b, "LiveScopes") }

// run runs the ways of the works called name as benchmarks. It counts to b.N itself: with
// -cpu 1,2 the first round of b.Loop would run on all processors, whatever the name of the
// benchmark says.
func run(b *testing.B, name string) {
	for _, w := range Works()[name] {
		for _, s := range w.Samples() {
			b.Run(s.Name[len(name)+1:], func(b *testing.B) {
				b.ReportAllocs()
				var took time.Duration
				for range b.N {
					took += s.Op()
				}
				b.ReportMetric(float64(took)/float64(b.N), "ns/op")
				b.ReportMetric(float64(took)/float64(b.N)/float64(w.Units), "ns/"+w.Unit)
			})
		}
	}
}
