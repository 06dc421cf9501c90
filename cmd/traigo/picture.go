package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/cmd/traigo/internal/screen"
)

// A picture is what the demo shows in a terminal: what it is, what to look out for, the
// failure that matters, and the tree below it.
type picture struct {
	title    string // a line
	url      string // of the live page
	lookOut  []string
	failures *failures
	scope    *traigo.Scope // the demo
	screen   *screen.Screen
	tree     []string // as it was last seen, before the demo began to end
}

// follow takes the tree four times a second, and draws the picture, if there is a screen to
// draw it on. It runs until ctx is done.
func (p *picture) follow(ctx context.Context) error {
	if p.screen != nil {
		defer p.screen.Clear()
	}
	for ctx.Err() == nil {
		isEnding := p.scope.State() >= traigo.Canceling
		if text, err := liveText(ctx, p.url); err == nil {
			tree := treeIn(text)
			if !isEnding && len(tree) > 0 {
				p.tree = tree
			}
			if p.screen != nil {
				p.draw(tree)
			}
		}
		_ = traigo.Sleep(ctx, 250*time.Millisecond)
	}
	return nil
}

const maxTolerated = 2 // kinds of failures that are shown beside the one that matters

// draw draws the picture. The lines above the tree are always as many, so that the tree does
// not move.
func (p *picture) draw(tree []string) {
	matters, tolerated := p.failures.lines()
	if matters == nil {
		matters = p.lookOut
	}
	for len(tolerated) < maxTolerated {
		tolerated = append(tolerated, "")
	}
	lines := append([]string{p.title, "live page  " + p.url}, matters...)
	lines = append(append(lines, tolerated[:maxTolerated]...), "")
	lines = append(lines, fitted(tree, p.screen.Height()-len(lines))...)
	p.screen.Draw(paint(strings.Join(lines, "\n")))
}

// treeIn returns the lines of the tree in the text of a live page.
func treeIn(text string) []string {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(paragraph, "demo ") {
			return strings.Split(strings.TrimRight(paragraph, "\n"), "\n")
		}
	}
	return nil
}

// fitted leaves out the deepest levels of a tree until it has at most room lines. A line
// below which others were left out ends in an ellipsis.
func fitted(tree []string, room int) []string {
	for deepest := depthOf(tree); len(tree) > room && deepest > 1; deepest-- {
		kept := tree[:0:0]
		for _, line := range tree {
			if level(line) < deepest {
				kept = append(kept, line)
			} else if last := len(kept) - 1; !strings.HasSuffix(kept[last], "…") {
				kept[last] += " …"
			}
		}
		tree = kept
	}
	return tree
}

func depthOf(tree []string) (deepest int) {
	for _, line := range tree {
		deepest = max(deepest, level(line))
	}
	return deepest
}

// level returns how deep a line of a tree is, from 0: its name comes after three characters
// for each level.
func level(line string) int {
	n := 0
	for _, r := range line {
		if !strings.ContainsRune(" │├└─", r) {
			break
		}
		n++
	}
	return n / 3
}

// withoutProxy is for the live page: a proxy may be set up for its address, but need not
// reach it.
var withoutProxy = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// liveText returns the text of the live page, as any client gets it.
func liveText(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?format=text", http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := withoutProxy.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// paint colors lines of a text: red for the failure that matters, yellow for what is being
// canceled. If NO_COLOR is set in the environment, it colors nothing.
func paint(text string) string {
	if os.Getenv("NO_COLOR") != "" {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "✗ "):
			lines[i] = red + line + plain
		case strings.Contains(line, "(canceling"):
			lines[i] = yellow + line + plain
		}
	}
	return strings.Join(lines, "\n")
}

// write writes what is to stay: the failures and, where there was no screen to draw on, the
// last tree above them.
func (p *picture) write(w io.Writer) {
	lines, tolerated := p.failures.lines()
	lines = append(lines, tolerated...)
	if p.screen == nil && len(p.tree) > 0 {
		lines = append(append(p.tree, ""), lines...)
	}
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
}
