package traio_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

// The compiler rejects a number or a string in place of a function. Only a nil function
// can be passed, which is wrong at run time.
func TestTraioMisuseTaskNotAwaitable(t *testing.T) {
	for name, misuse := range map[string]func(s *traigo.Scope){
		"Spawn":    func(s *traigo.Scope) { s.Spawn(nil) },
		"TrySpawn": func(s *traigo.Scope) { s.TrySpawn(nil) },
		"Start":    func(s *traigo.Scope) { _, _ = s.Start(s.Context(), nil) },
		"Async":    func(s *traigo.Scope) { traigo.Async[int](s, nil) },
		"Run":      func(s *traigo.Scope) { _ = traigo.Run(s.Context(), nil) },
		"Blocking": func(*traigo.Scope) { traigo.Blocking(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					defer func() {
						assert.Regexp(t, `^traigo: .*\bnil\b`, recover())
					}()
					misuse(s)
					return nil
				})
				assert.NoError(t, err, "the scope is as it was")
			})
		})
	}
}
