//go:build race

package oteltraigo_test

const raceEnabled = true
