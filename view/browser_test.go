package view_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/internal/browser"
)

// pages writes the pages of logs to a directory, and returns an environment variable that
// tells the scripts of web/test where they are.
func pages(t *testing.T, logs map[string][]byte) (env string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tree.html"), []byte(tree(t)), 0o600))
	for name, log := range logs {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".html"), []byte(page(t, log)), 0o600))
	}
	return "PAGES=" + dir
}

// The parts of the page that need no browser. `npm test` in web/ runs the same.
func TestBrowserViewLogic(t *testing.T) {
	browser.Run(t, "view-logic.mjs")
}

func TestBrowserView(t *testing.T) {
	browser.Need(t)
	browser.Run(t, "view.mjs", pages(t, map[string][]byte{
		"small": small(t), "failing": failing(t), "crashed": crashed(t), "climbing": climbing(), "given": given(), "hung": hung(),
		"deep": deep(), "wide": wide(), "server": server(), "needle": needle(), "shop": shop(t), "sessions": hundredThousand(),
		"crawl": crawl(t), "lossy": lossy(), "nasty": nasty(), "empty": []byte(header), "instant": instant(), "hour": hour(), "triovis": []byte(trioVis),
	}))
}

func TestBrowserViewOfHundredThousand(t *testing.T) {
	browser.Need(t)
	browser.Run(t, "view-budget.mjs", pages(t, map[string][]byte{"sessions": hundredThousand(), "flat": flat(), "needle": needle()}))
}

// TestBrowserViewPictures saves the pictures of docs/seeing.md if UPDATE is set.
func TestBrowserViewPictures(t *testing.T) {
	browser.Need(t)
	browser.Run(t, "view-pictures.mjs",
		"PICTURES="+filepath.Dir(browser.Picture(t.TempDir(), "view-small.png")),
		pages(t, map[string][]byte{
			"small": small(t), "failing": failing(t), "crashed": crashed(t), "hung": hung(), "500": crawl(t), "100000": hundredThousand(),
		}))
}
