package hold_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/internal/hold"
)

type counter int

func (c *counter) Keep() func() {
	*c++
	return func() { *c-- }
}

func TestKeepAsksEveryHolderOfTheContext(t *testing.T) {
	var outer, inner, elsewhere counter
	ctx := hold.With(context.Background(), &outer)
	_ = hold.With(ctx, &elsewhere)
	ctx = hold.With(ctx, &inner)

	release := hold.Keep(ctx)
	assert.Equal(t, []counter{1, 1, 0}, []counter{outer, inner, elsewhere})
	release()
	assert.Equal(t, []counter{0, 0, 0}, []counter{outer, inner, elsewhere})
	hold.Keep(context.Background())() // nobody to ask
}
