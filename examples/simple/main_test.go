package main

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

func TestStoryIsTheSameEveryTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		assert.NoError(t, morning(t.Context(), newTeller(&out)))

		var lines, seen []string
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, "s  | ") {
				seen = append(seen, line)
			} else {
				lines = append(lines, line)
			}
		}
		assert.Equal(t, `0.3s  the toast is done
0.4s  the radio plays
0.6s  the kettle whistles
0.6s  nobody watches the kettle any more: scope "kitchen/breakfast/pot" canceled: master ended: task "kitchen/breakfast/pot/kettle"
0.6s  breakfast is ready
0.7s  the guests must leave in 0.3 s
0.8s  the radio plays
1.0s  the guests: scope "kitchen/guests": timed out after 300ms
1.2s  the radio plays
1.5s  the plates are clean
1.6s  the radio plays
1.7s  the forks are clean
1.7s  the radio is turned off
1.7s  the kitchen is empty
`, strings.Join(lines, ""))

		tree := strings.Join(seen, "")
		for _, name := range []string{"kitchen", "radio", "look", "dishes", "plates", "forks", "breakfast", "toast", "tea", "pot", "kettle", "watch"} {
			assert.Contains(t, tree, name)
		}
		assert.NotContains(t, tree, "guests", "they are not there yet")
	})
}
