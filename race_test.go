//go:build race

package traigo_test

const raceEnabled = true
