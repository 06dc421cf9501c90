package policy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Code that is shown is code that runs: a ```go block in a document is either
// part of a test or an example, word for word but for white space, or a whole
// program that compiles.
func TestDocsShowCodeThatRuns(t *testing.T) {
	sources := squeezedSources(t)
	for _, doc := range proseFiles(t) {
		for _, block := range codeBlocks(readFile(t, doc), "go") {
			t.Run(fmt.Sprintf("%s:%d", doc, block.line), func(t *testing.T) {
				if strings.HasPrefix(block.text, "package ") {
					vetProgram(t, block.text)
					return
				}
				assert.True(t, containedInOne(sources, block.text),
					"%s, line %d: this block is in no _test.go file and in no program of examples/, so nothing compiles it.\n"+
						"Copy it into an Example function, or make it a whole program:\n\n%s", doc, block.line, block.text)
			})
		}
	}
}

var (
	mdLink       = regexp.MustCompile(`\]\(([^()\s]+)(?:\s+"[^"]*")?\)`)
	mdHTML       = regexp.MustCompile(`\b(?:src|href|srcset)="([^"]+)"`)
	mdElsewhere  = regexp.MustCompile(`^([a-z]+:|//)`)
	mdInlineCode = regexp.MustCompile("`[^`\n]*`")
	mdFence      = regexp.MustCompile("^\\s*```")
	mdHeading    = regexp.MustCompile(`(?m)^#{1,6} +(.+?)\s*$`)
	mdNotInSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func TestDocsLinkToWhatExists(t *testing.T) {
	for _, doc := range proseFiles(t) {
		for _, link := range linksOf(readFile(t, doc)) {
			if mdElsewhere.MatchString(link) {
				continue
			}
			path, anchor, _ := strings.Cut(link, "#")
			target := doc
			if path != "" {
				target = filepath.Join(filepath.Dir(doc), path)
			}
			if _, err := os.Stat(target); !assert.NoError(t, err, "%s links to %s", doc, link) {
				continue
			}
			if anchor != "" && filepath.Ext(target) == ".md" {
				assert.Contains(t, anchorsOf(readFile(t, target)), anchor, "%s links to %s: no such heading", doc, link)
			}
		}
	}
}

// The tests above find nothing wrong in a document they do not understand.
func TestDocsAreReadAsTheyAreWritten(t *testing.T) {
	const doc = "# One `two`, three\n" +
		"[a](b.md) ![c](d.svg \"e\") `[no](no.md)` <img src=\"f.png\">\n" +
		"```go\nx := []int{}\nf[T](y)\n```\n" +
		"```sh\nmake\n```\n" +
		"- indented\n  ```go\n  z()\n  ```\n" +
		"[g](https://example.com)\n"
	assert.Equal(t, []codeBlock{
		{line: 4, text: "x := []int{}\nf[T](y)\n"},
		{line: 12, text: "  z()\n"},
	}, codeBlocks(doc, "go"))
	assert.Equal(t, []string{"b.md", "d.svg", "https://example.com", "f.png"}, linksOf(doc))
	assert.Equal(t, []string{"one-two-three"}, anchorsOf(doc))
	assert.True(t, containedInOne([]string{squeeze("func f() {\n\tz()\n}")}, "  z()\n"))
	assert.False(t, containedInOne([]string{squeeze("func f() {\n\tzz()\n}")}, "z()  // not there"))
}

// proseFiles are the prose of the repository.
func proseFiles(t *testing.T) (docs []string) {
	t.Helper()
	walkSources(t, ".", func(path string) {
		if filepath.Ext(path) == ".md" {
			docs = append(docs, filepath.ToSlash(path))
		}
	})
	assert.Contains(t, docs, "README.md")
	return docs
}

type codeBlock struct {
	line int // of its first line of code
	text string
}

func codeBlocks(doc, language string) (blocks []codeBlock) {
	var block *codeBlock
	inside := false
	for i, line := range strings.Split(doc, "\n") {
		switch {
		case mdFence.MatchString(line) && !inside:
			inside = true
			if strings.TrimSpace(line) == "```"+language {
				block = &codeBlock{line: i + 2}
			}
		case mdFence.MatchString(line):
			if block != nil {
				blocks = append(blocks, *block)
			}
			inside, block = false, nil
		case block != nil:
			block.text += line + "\n"
		}
	}
	return blocks
}

// linksOf leaves out code, in which an index and a call look like a link.
func linksOf(doc string) (links []string) {
	doc = mdInlineCode.ReplaceAllString(withoutBlocks(doc), "")
	for _, pattern := range []*regexp.Regexp{mdLink, mdHTML} {
		for _, match := range pattern.FindAllStringSubmatch(doc, -1) {
			links = append(links, match[1])
		}
	}
	return links
}

// anchorsOf makes of each heading what GitHub makes of it.
func anchorsOf(doc string) (anchors []string) {
	for _, match := range mdHeading.FindAllStringSubmatch(withoutBlocks(doc), -1) {
		slug := mdNotInSlug.ReplaceAllString(strings.ToLower(match[1]), "")
		anchors = append(anchors, strings.ReplaceAll(slug, " ", "-"))
	}
	return anchors
}

func withoutBlocks(doc string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(doc) {
		if mdFence.MatchString(line) {
			inside = !inside
		} else if !inside {
			b.WriteString(line)
		}
	}
	return b.String()
}

// squeezedSources are the files whose code is compiled and, in part, run.
func squeezedSources(t *testing.T) (sources []string) {
	t.Helper()
	walkSources(t, ".", func(path string) {
		path = filepath.ToSlash(path)
		isExample := strings.HasPrefix(path, "examples/") && filepath.Ext(path) == ".go"
		if isExample || strings.HasSuffix(path, "_test.go") {
			sources = append(sources, squeeze(readFile(t, path)))
		}
	})
	return sources
}

func containedInOne(sources []string, block string) bool {
	block = squeeze(block)
	for _, source := range sources {
		if strings.Contains(source, block) {
			return true
		}
	}
	return false
}

// squeeze makes a file one line: how far a block is indented does not matter.
func squeeze(code string) string { return " " + strings.Join(strings.Fields(code), " ") + " " }

func vetProgram(t *testing.T, program string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(file, []byte(program), 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput()
	assert.NoError(t, err, "%s", out)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(content)
}
