package bench

import (
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	Serve()
	os.Exit(m.Run())
}

func TestProcessesCanBeMeasured(t *testing.T) {
	for _, r := range slices.Concat(Processes(Quick), Actors(Quick), Servers(Quick)) {
		t.Run(r.What+", "+r.Beside, func(t *testing.T) {
			f, err := r.Measure()
			require.NoError(t, err)
			assert.Positive(t, f.Center)
		})
	}
}
