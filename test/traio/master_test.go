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

func TestTraioMaster(t *testing.T) {
	for _, row := range []struct{ bubble, awaited bool }{
		{false, false}, {false, true}, {true, false}, {true, true},
	} {
		t.Run(fmt.Sprintf("bubble %v, awaited %v", row.bubble, row.awaited), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(traioLong)
					s.Spawn(traioSleep(10*ms), traigo.Master(true),
						traigo.Bubble(row.bubble), traigo.Awaited(row.awaited))
					return nil
				})
				assert.NoError(t, err)
				assertTook(t, 10*ms, start)
			})
		})
	}
}

func TestTraioMasterRaises(t *testing.T) {
	for _, awaited := range []bool{true, false} {
		t.Run(fmt.Sprintf("awaited %v", awaited), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(traioLong)
					s.Spawn(traioFail(10*ms), traigo.Master(true), traigo.Awaited(awaited))
					return nil
				})
				requireTaskFailed(t, err, errTraio)
				assertTook(t, 10*ms, start)
			})
		})
	}
}

func TestTraioMasterCancelMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(traioLong)
			master := s.Spawn(traioLong, traigo.Master(true))
			assert.NoError(t, traigo.Sleep(ctx, 50*ms))
			master.Cancel(nil)
			return nil
		}, traigo.Timeout(500*ms))
		assert.NoError(t, err)
		assertTook(t, 50*ms, start)
	})
}
