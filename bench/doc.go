// Package bench measures what a scope costs, side by side with what people use
// instead: the go statement with a WaitGroup, errgroup, conc, taskgroup, pond.
//
// A [Work] is one thing that is done in several ways; [Works] lists all of
// them. Go's benchmarks run them under names that benchstat reads:
//
//	go test -bench 'Spawn/tasks=1000' -cpu 1,2 -count 10 | benchstat -col /impl -
//
// and cmd/compare runs them in turn, in one process, and writes their ratios
// down in docs/performance.md: `make bench` at the top of the repository.
package bench
