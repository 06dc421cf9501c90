package traio_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

func TestTraioBubbleNoBubble(t *testing.T) {
	for _, awaited := range []bool{true, false} {
		t.Run(fmt.Sprintf("awaited %v", awaited), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var ignored *traigo.Task
				err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(traioLong)
					ignored = s.Spawn(traioFail(10*ms), traigo.Bubble(false), traigo.Awaited(awaited))
					return nil
				}, traigo.Timeout(500*ms))

				requireTimedOut(t, err, 500*ms)
				assertOthers(t, err)
				assert.Equal(t, errTraio, ignored.Err(), "ignored by the scope, not lost")
				assertTook(t, 500*ms, start)
			})
		})
	}
}

func TestTraioBubbleNoBubbleMaster(t *testing.T) {
	for _, awaited := range []bool{true, false} {
		t.Run(fmt.Sprintf("awaited %v", awaited), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(traioLong)
					s.Spawn(traioFail(10*ms), traigo.Bubble(false), traigo.Master(true), traigo.Awaited(awaited))
					return nil
				}, traigo.Timeout(500*ms))

				assert.NoError(t, err)
				assertTook(t, 10*ms, start)
			})
		})
	}
}
