//go:build !race

package oteltraigo_test

const raceEnabled = false
