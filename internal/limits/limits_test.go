package limits_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/internal/limits"
)

func describe(waiting int) func(int) limits.State {
	return func(int) limits.State { return limits.State{Waiting: waiting} }
}

func TestALimiterIsKnownWhileSomebodyWaits(t *testing.T) {
	assert.Empty(t, limits.States(10, 5))
	a1, a2 := limits.Wait("a", describe(1)), limits.Wait("a", describe(1))
	b := limits.Wait("b", describe(2))
	over := limits.Wait("c", describe(0)) // its wait has ended, and it is not told yet
	assert.Equal(t, []limits.State{{Waiting: 1}, {Waiting: 2}}, limits.States(10, 5))
	assert.Len(t, limits.States(1, 5), 1)
	a1()
	assert.Len(t, limits.States(10, 5), 2)
	a2()
	assert.Equal(t, []limits.State{{Waiting: 2}}, limits.States(10, 5))
	b()
	over()
	assert.Empty(t, limits.States(10, 5))
}
