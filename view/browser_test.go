package view_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/internal/browser"
	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/story"
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

// The details say why a span ended by the same causes as traigo why.
func TestBrowserChains(t *testing.T) {
	browser.Need(t)
	dir := t.TempDir()
	for name, log := range map[string][]byte{
		"small": small(t), "failing": failing(t), "crashed": crashed(t), "climbing": climbing(), "given": given(), "hung": hung(), "shop": shop(t),
		"crawl": crawl(t), "lossy": lossy(), "nasty": nasty(), "server": server(), "causes": allCauses(),
	} {
		h, err := history.Read(bytes.NewReader(log))
		require.NoError(t, err)
		chains, err := json.Marshal(chainsOf(h))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".json"), chains, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".html"), []byte(page(t, log)), 0o600))
	}
	browser.Run(t, "view-chains.mjs", "CHAINS="+dir)
}

// chainsOf returns the IDs of the spans that the chain of causes of each span leads through.
func chainsOf(h *history.History) map[string][]string {
	chains := make(map[string][]string)
	causes := story.CausesOf(h)
	add := func(span story.Span) {
		ids := []string{}
		for _, line := range causes.Why(h, span).Chain {
			for _, w := range line.Words {
				switch {
				case w.Task != nil:
					ids = append(ids, story.Span{Scope: w.Task.Scope, Task: w.Task}.ID())
				case w.Scope != nil:
					ids = append(ids, story.Span{Scope: w.Scope}.ID())
				}
			}
		}
		chains[span.ID()] = slices.Compact(ids)
	}
	for _, s := range h.Scopes {
		add(story.Span{Scope: s})
		for _, task := range s.Tasks {
			add(story.Span{Scope: s, Task: task})
		}
	}
	return chains
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
