//go:build !race

package errgroup_test

const raceEnabled = false
