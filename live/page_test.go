package live_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/live"
)

// A mount without a final slash, and without anything below it, still does for text.
func TestWithoutASlashThePageRedirects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		w := get(h, "/a/b:c?scope=3", "Accept", browsers)
		assert.Equal(t, http.StatusTemporaryRedirect, w.Code)
		assert.Equal(t, "./b:c/?scope=3", w.Header().Get("Location"))
		assert.Equal(t, http.StatusOK, get(h, "/a/b").Code)
	})
}
