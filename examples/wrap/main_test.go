package main

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompareShowsWhatIsLostAndWhatIsKept(t *testing.T) {
	var out strings.Builder
	compare(t.Context(), &out)

	// The scheduler decides which error checkBefore returns: that is one of its bugs.
	text := regexp.MustCompile(`before  (404 Not Found|500 Internal Server Error)`).
		ReplaceAllString(out.String(), "before  <one error>")
	assert.Equal(t, `The size of three pages. One fails while the others are slow:
  before  <one error>
          (requests still running: 2)
  after   scope "size": task "/archive": 500 Internal Server Error
          (requests still running: 0)
Is there any page that fails? Two of four do:
  before  <one error>
          (requests still running: 0)
  after   scope "check": task "/jobs": 404 Not Found; task "/prices": 500 Internal Server Error
          (requests still running: 0)
`, text)
}

func TestAllAgreeWhenNothingFails(t *testing.T) {
	s := newSite()
	defer s.close()
	pages := []string{"/home", "/about", "/home"}

	before, err := sizeBefore(s, pages)
	require.NoError(t, err)
	after, err := sizeAfter(t.Context(), s, pages)
	require.NoError(t, err)
	assert.EqualValues(t, 24, before)
	assert.Equal(t, before, after)

	assert.NoError(t, checkBefore(t.Context(), s, pages))
	assert.NoError(t, checkAfter(t.Context(), s, pages))
}

func TestAfterCanBeStopped(t *testing.T) {
	s := newSite()
	defer s.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := sizeAfter(ctx, s, []string{"/home"})
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, checkAfter(ctx, s, []string{"/home"}), context.Canceled)
	assert.Zero(t, s.running.Load())
}
