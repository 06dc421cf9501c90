// Package bench measures the cost of scopes and tasks, beside that of the alternatives:
// the go statement with a WaitGroup, errgroup, conc, taskgroup and pond.
//
// A [Work] is done in several ways, one for each library; [Works] lists them all. The
// benchmarks have names that benchstat can read:
//
//	go test -bench 'Spawn/tasks=1000' -cpu 1,2 -count 10 | benchstat -col /impl -
//
// The command cmd/compare runs the ways in turn, in one process, and writes their ratios to
// docs/performance.md. At the top of the repository, `make bench` runs it.
package bench
