package guide_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each program and each part of a program that a page has is in the file of tests of that
// page, where it is run, or is a whole program, which TestProgramsOfPages runs.
func TestCodeOfPagesIsRun(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language == "go" && !b.isProgram() {
				assert.True(t, parses("package p\n"+b.text) || parses("package p\nfunc _() {\n"+b.text+"}"),
					"%s has code that does not begin or end with a statement:\n%s", p.name, b.text)
				isRun := strings.Contains(p.source, squeeze(b.text)) // assert.Contains would show the file
				assert.True(t, isRun, "%s has code that is not in %s:\n%s", p.name, p.test, b.text)
			}
		}
	}
}

// What a page shows as output is printed: by an Example, by a test that compares it with
// shows, or by the whole program before it.
func TestOutputOfPagesIsPrinted(t *testing.T) {
	for _, p := range pages(t) {
		for i, b := range p.blocks {
			if b.language != "text" || i > 0 && p.blocks[i-1].isProgram() {
				continue
			}
			assert.True(t, p.isPrinted(b.text), "%s shows what nothing in %s prints:\n%s", p.name, p.test, b.text)
		}
	}
}

func TestProgramsOfPages(t *testing.T) {
	for _, p := range pages(t) {
		for i, b := range p.blocks {
			if !b.isProgram() {
				continue
			}
			require.Greater(t, len(p.blocks), i+1, "%s does not show what its program prints", p.name)
			want := p.blocks[i+1].text
			if p.isPrinted(want) {
				continue // it needs a client, or a signal: there is a test of its own
			}
			if strings.Contains(b.text, "/proc\"") && runtime.GOOS != "linux" {
				continue // workers need Linux
			}
			out, err := exec.CommandContext(t.Context(), build(t, b.text)).CombinedOutput()
			assert.NoError(t, err, "%s", p.name)
			assert.Equal(t, want, string(out), "%s", p.name)
		}
	}
}

func TestPythonOfPagesCompiles(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language == "python" {
				cmd := exec.CommandContext(t.Context(), python, "-c",
					"import ast, sys; compile(sys.stdin.read(), 'block', 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)")
				cmd.Stdin = strings.NewReader(b.text)
				out, err := cmd.CombinedOutput()
				assert.NoError(t, err, "%s: %s\n%s", p.name, out, b.text)
			}
		}
	}
}

// The index has each page, and nothing else.
func TestIndexHasEachPage(t *testing.T) {
	index, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, p := range pages(t) {
		assert.Contains(t, string(index), "]("+p.name+")")
	}
}

// The tests above find nothing wrong in a page that they do not understand.
func TestPagesAreReadAsTheyAreWritten(t *testing.T) {
	blocks := blocksOf("# One\n```go\npackage main\n```\n\n```text\na\n\nb\n```\ntext\n```sh\nls\n```\n")
	assert.Equal(t, []block{{"go", "package main\n"}, {"text", "a\n\nb\n"}, {"sh", "ls\n"}}, blocks)
	assert.True(t, blocks[0].isProgram())
	p := page{outputs: []string{"a\nbc\nd"}}
	for text, want := range map[string]bool{"a\n": true, "bc\nd\n": true, "b\n": false, "a\nd\n": false, "": false} {
		assert.Equal(t, want, p.isPrinted(text), "%q", text)
	}
	assert.NotEmpty(t, pages(t))
}

func parses(file string) bool {
	_, err := parser.ParseFile(token.NewFileSet(), "", file, 0)
	return err == nil
}

type page struct {
	name, test string
	source     string // of the test, squeezed
	outputs    []string
	blocks     []block
}

type block struct{ language, text string }

func (b block) isProgram() bool {
	return b.language == "go" && strings.HasPrefix(b.text, "package main\n")
}

// isPrinted reports whether the lines of text are lines of one output.
func (p page) isPrinted(text string) bool {
	text = strings.TrimSpace(text)
	for _, output := range p.outputs {
		if text != "" && strings.Contains("\n"+output+"\n", "\n"+text+"\n") {
			return true
		}
	}
	return false
}

func pages(t *testing.T) (all []page) {
	t.Helper()
	names, err := filepath.Glob("*.md")
	require.NoError(t, err)
	for _, name := range names {
		if name == "README.md" {
			continue
		}
		p := page{name: name, test: strings.ReplaceAll(strings.TrimSuffix(name, ".md"), "-", "_") + "_test.go"}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		source, err := os.ReadFile(p.test)
		require.NoError(t, err, "each page has a file of tests")
		p.blocks, p.source, p.outputs = blocksOf(string(text)), squeeze(string(source)), outputsOf(t, p.test)
		all = append(all, p)
	}
	return all
}

func blocksOf(page string) (blocks []block) {
	inside := false
	for line := range strings.Lines(page) {
		language, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && !inside:
			inside, blocks = true, append(blocks, block{language: strings.TrimSpace(language)})
		case isFence:
			inside = false
		case inside:
			blocks[len(blocks)-1].text += line
		}
	}
	return blocks
}

// outputsOf returns the Output of each Example, and the first argument of each call of shows.
func outputsOf(t *testing.T, test string) (outputs []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), test, nil, parser.ParseComments)
	require.NoError(t, err)
	for _, example := range doc.Examples(file) {
		assert.True(t, example.Output != "" || example.EmptyOutput, "%s: Example%s is not run", test, example.Name)
		outputs = append(outputs, strings.TrimSpace(example.Output))
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 3 {
			return true
		}
		if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "shows" {
			literal, ok := call.Args[1].(*ast.BasicLit)
			require.True(t, ok, "%s: shows has to be called with a literal", test)
			output, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			outputs = append(outputs, strings.TrimSpace(output))
		}
		return true
	})
	return outputs
}

// squeeze makes a file one line: how far a block is indented does not matter.
func squeeze(code string) string { return " " + strings.Join(strings.Fields(code), " ") + " " }
