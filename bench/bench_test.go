package bench

import "testing"

func BenchmarkSpawn(b *testing.B)       { run(b, "Spawn") }
func BenchmarkSpawners(b *testing.B)    { run(b, "Spawners") }
func BenchmarkGroups(b *testing.B)      { run(b, "Groups") }
func BenchmarkPark(b *testing.B)        { run(b, "Park") }
func BenchmarkParkDone(b *testing.B)    { run(b, "ParkDone") }
func BenchmarkCancel(b *testing.B)      { run(b, "Cancel") }
func BenchmarkLive(b *testing.B)        { run(b, "Live") }
func BenchmarkLiveScopes(b *testing.B)  { run(b, "LiveScopes") }
func BenchmarkOne(b *testing.B)         { run(b, "One") }
func BenchmarkTeam(b *testing.B)        { run(b, "Team") }
func BenchmarkLimited(b *testing.B)     { run(b, "Limited") }
func BenchmarkFailing(b *testing.B)     { run(b, "Failing") }
func BenchmarkAll(b *testing.B)         { run(b, "All") }
func BenchmarkRace(b *testing.B)        { run(b, "Race") }
func BenchmarkMap(b *testing.B)         { run(b, "Map") }
func BenchmarkAsCompleted(b *testing.B) { run(b, "AsCompleted") }
func BenchmarkSingle(b *testing.B)      { run(b, "Single") }
func BenchmarkMoveOnAfter(b *testing.B) { run(b, "MoveOnAfter") }
func BenchmarkWatched(b *testing.B)     { run(b, "Watched") }

func BenchmarkLoaded(b *testing.B) {
	defer handOvers(4)()
	run(b, "Loaded")
}

// run runs the ways of the works called name as benchmarks. It counts to b.N itself: with
// -cpu 1,2 the first round of b.Loop would run on all processors, whatever the name of the
// benchmark says.
func run(b *testing.B, name string) {
	for _, w := range Works()[name] {
		for _, s := range w.Samples() {
			b.Run(s.Name[len(name)+1:], func(b *testing.B) {
				b.ReportAllocs()
				took := s.Op(b.N)
				b.ReportMetric(float64(took)/float64(b.N), "ns/op")
				b.ReportMetric(float64(took)/float64(b.N)/float64(w.Units), "ns/"+w.Unit)
			})
		}
	}
}
