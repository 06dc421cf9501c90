//go:build race

package actor_test

const pauseRace = true
