// Package bench measures the cost of scopes and tasks, beside that of the alternatives:
// the go statement with a WaitGroup or a channel, errgroup, conc, taskgroup and pond.
//
// A [Work] is done in several ways, one for each library; [Works] lists them all. The
// benchmarks have names that benchstat can read:
//
//	go test -bench 'Spawn/tasks=1000' -cpu 1,2 -count 10 | benchstat -col /impl -
//
// A [Row] compares two ways of a work, or counts something, and has a target. [Promises] are
// the rows about tasks and scopes as such, [Daily] those about what users do all day, and
// [Processes] and [Actors] those about calls of other processes. The command cmd/compare
// measures the rows in one process, each pair in turn, and writes their figures to
// docs/performance.md. At the top of the repository, `make bench` runs it. A few rows take
// seconds:
//
//	go run ./cmd/compare -run 'Map|Race'
package bench
