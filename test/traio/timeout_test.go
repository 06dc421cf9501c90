package traio_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/traigo/traigo"
)

func TestTraioTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), traioSpawnLong, traigo.Timeout(100*ms))
		requireTimedOut(t, err, 100*ms)
		assertTook(t, 100*ms, start)
	})
}

func TestTraioTimeoutOverride(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(traioLong)
			if err := traigo.Sleep(ctx, 50*ms); err != nil {
				return err
			}
			s.SetTimeout(100 * ms) // from now
			return nil
		}, traigo.Timeout(5*time.Second))
		requireTimedOut(t, err, 100*ms)
		assertTook(t, 150*ms, start)
	})
}
