package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	modulePath    = "github.com/traigo/traigo"
	rootPkg       = "."
	testifyModule = "github.com/stretchr/testify"
	panicsPkg     = "github.com/sourcegraph/conc/panics"
	backoffPkg    = "github.com/cenkalti/backoff/v5"
	termPkg       = "golang.org/x/term"
)

// The tables below are a statement of policy: who may import whom. They change
// in a commit of their own that says why, never to make a build pass.
//
// Packages are named by their directory, "." being the core. The standard
// library is open to all, tests may use testify, and a package that is in no
// table fails the test: somebody has to decide first.

// mayImport says what each package of the root module may import beyond the
// standard library. A pattern that ends in /... stands for everything below.
var mayImport = map[string][]string{
	rootPkg:      {panicsPkg, "internal/errdata", "internal/processes", "internal/hold", "internal/inplace", "internal/stackdump"},
	"capacity":   {rootPkg, "internal/hold", "internal/limits"},
	"diag":       {rootPkg},
	"errgroup":   {rootPkg, panicsPkg},                     // it makes the PanicError of a function while the panic's stack is still there
	"supervise":  {rootPkg, backoffPkg},                    // see docs/adr/0007
	"serve":      {rootPkg, panicsPkg, "internal/inplace"}, // it makes the PanicError of a handler while the panic's stack is still there
	"record":     {rootPkg, "record/history", "record/export", "internal/processes", "internal/stackdump"},
	"live":       {rootPkg, "internal/processes", "internal/stackdump", "internal/limits", "internal/serials"}, // one dump for all roots; who waits for a Limiter
	"proc":       {rootPkg, panicsPkg, "internal/processes"},                                                   // a panic in a worker keeps its stack; snapshots show what runs there
	"traigotest": {rootPkg},
	"view":       {"record/history", "record/story", "internal/stackdump"}, // a stack is shown with the frames of the user
	"cmd/traigo": {rootPkg, "errgroup", "supervise", "record", "record/history", "record/export", "record/story", "live", "proc", "view", termPkg, backoffPkg},

	"record/history":          {"record/internal/sclogs"},                                   // what a log says: also that of a program that is gone
	"record/story":            {"record/history", "internal/stackdump", "internal/serials"}, // what a log says, in words; a stack in it says where a task stands
	"record/export":           {"record/history", "record/story", "record/internal/sclogs"},
	"record/internal/sclogs":  {},
	"record/internal/logtest": {rootPkg, "record/history", testifyModule + "/require"}, // logs for the tests of history and export
	"internal/browser":        {},
	"internal/errdata":        {}, // a leaf: the value of an error as bytes, for RemoteError
	"internal/processes":      {}, // a leaf: how proc shows scopes of other processes in a Snapshot
	"internal/hold":           {}, // a leaf: what capacity holds, and Blocking keeps for a call that it has abandoned
	"internal/limits":         {}, // a leaf: the limiters of capacity in which somebody waits, for live
	"internal/inplace":        {}, // a leaf: how serve runs a request as a task, on a goroutine of net/http
	"internal/stackdump":      {}, // a leaf: stacks in a dump, found by address
	"internal/serials":        {}, // a leaf: which names are folded into one line, for live and record/story
	"internal/policy":         {},
	"test/traio":              {},
	"test/reports":            {},

	"examples/...":    {rootPkg},
	"examples/mirror": {rootPkg, "serve", "supervise"}, // what a program of a new user's needs, in one place

	"examples/httpserver": {rootPkg, "serve"},           // it shows what serve is for
	"examples/pipeline":   {rootPkg, "serve"},           // a program for users ends at a signal
	"examples/tcpserver":  {rootPkg, "serve", "record"}, // a program for users ends at a signal; a server is what one wants to see
	"examples/thumbnails": {rootPkg, "proc"},            // what a process is for
}

// testsMayImport is open to the tests of every package, and only to them.
var testsMayImport = []string{testifyModule + "/assert", testifyModule + "/require", rootPkg, "traigotest", "internal/browser", "record/internal/logtest"}

// edgeReasons gives the reasons for the edges somebody will want some day.
var edgeReasons = []struct{ from, to, reason string }{
	{rootPkg, testifyModule + "/...", "users of the core would link a test library; testify is for tests"},
	{rootPkg, modulePath + "/...", "the core is at the bottom: what needs it builds on its exported API and its Observer"},
	{rootPkg, "golang.org/x/...", "the core depends on the standard library and conc/panics, which is what makes it easy to trust"},
	{rootPkg, backoffPkg, "the core restarts nothing: supervise does, and users of the core do not link its policies"},
	{"view", rootPkg, "view draws a recorded history, also one of a program that is gone: it knows record's format, not traigo"},
	{"view", "record", "record is the observer, and brings traigo; what a log says is in record/history"},
	{"view", "record/export", "view draws a history, and has nothing to do with the formats of other viewers"},
	{"record/history", "record/export", "reading a log does not depend on the formats that it can be converted to"},
	{"examples/...", modulePath + "/...", "an example shows the core alone; what shows a companion belongs to the companion"},
}

// notInCore are packages of the standard library that the core leaves alone.
var notInCore = map[string]string{
	"flag":     "a library has no command line",
	"log":      "the core logs to the slog.Logger it is given",
	"net":      "the core knows no network; live and proc do",
	"net/http": "the core knows no network; live and proc do",
	"os/exec":  "the core starts no processes; proc does",
	"plugin":   "it switches off dead code elimination in every program",
	"testing":  "it registers its flags in every program; helpers for tests are in traigotest",
}

// ownModules have a go.mod of their own, so that users of the core never see
// what they depend on. They may not exist yet. Each uses the exported API of
// the packages it names here.
var ownModules = map[string][]string{
	"actor":             {rootPkg, "record", "proc", "live", "supervise"}, // proc starts and ends its processes
	"temporal":          {rootPkg, "record", "proc"},                      // both in tests: what a recording shows of attempts; work that is killed
	"temporal/embedded": {"temporal/internal/linked"},                     // a server knows neither scopes nor tasks
	"otel":              {rootPkg, "serve"},                               // serve in an example
	"bench":             {rootPkg, "errgroup", "record", "proc", "actor", "serve"},
	"analysis":          {},
	"examples/servers":  {rootPkg, "serve"}, // grpc ends at a signal
	"examples/tree":     {rootPkg, "actor"},
	"examples/stream":   {rootPkg, "actor"},
	"examples/farm":     {rootPkg, "serve", "supervise", "temporal", "temporal/embedded"},
	"docs/guide":        {rootPkg, "serve", "supervise", "capacity", "diag", "record", "live", "proc", "traigotest", "errgroup"}, // the pages show them
}

func TestArchitectureHoldsInTheRootModule(t *testing.T) {
	for _, pkg := range listPackages(t) {
		dir := dirOf(pkg.ImportPath)
		t.Run(dir, func(t *testing.T) {
			dir := ownerOf(dir)
			allowed, known := policyOf(mayImport, dir)
			require.True(t, known, "%s is new: say in internal/policy what it may import, and why it exists", pkg.ImportPath)

			for _, to := range pkg.Imports {
				assert.True(t, edgeAllowed(dir, to, allowed), whyForbidden(dir, to))
				if dir == rootPkg {
					reason, banned := notInCore[to]
					assert.False(t, banned, "the core may not import %s: %s", to, reason)
				}
			}
			for _, to := range slices.Concat(pkg.TestImports, pkg.XTestImports) {
				ok := edgeAllowed(dir, to, allowed) || edgeAllowed(dir, to, testsMayImport)
				assert.True(t, ok, "tests: %s", whyForbidden(dir, to))
			}
		})
	}
}

// What the core imports has imports of its own.
func TestArchitectureKeepsTheCoreSmall(t *testing.T) {
	for _, pkg := range listPackages(t, "-deps", ".") {
		if !pkg.Standard && pkg.ImportPath != modulePath {
			assert.True(t, edgeAllowed(rootPkg, pkg.ImportPath, mayImport[rootPkg]), whyForbidden(rootPkg, pkg.ImportPath))
		}
	}
}

func TestArchitectureHoldsInOwnModules(t *testing.T) {
	for _, dir := range moduleDirs(t) {
		t.Run(dir, func(t *testing.T) {
			allowed, known := ownModules[dir]
			require.True(t, known, "%s has a go.mod, but is no module that internal/policy knows; most packages need none", dir)
			for file, imports := range importsBelow(t, dir) {
				for _, to := range imports {
					if !isOurs(to) || isBelow(dirOf(to), dir) {
						continue // what a module of its own depends on is its own affair
					}
					ok := slices.Contains(allowed, dirOf(to)) ||
						strings.HasSuffix(file, "_test.go") && edgeAllowed(dir, to, testsMayImport)
					assert.True(t, ok, "%s: %s", file, whyForbidden(dir, to))
				}
			}
		})
	}
}

func TestArchitectureForbidsWhatItShould(t *testing.T) {
	for _, row := range []struct {
		from, to string
		allowed  bool
	}{
		{rootPkg, "context", true},
		{rootPkg, panicsPkg, true},
		{rootPkg, "github.com/sourcegraph/conc", false},
		{rootPkg, modulePath + "/record", false},
		{rootPkg, testifyModule + "/assert", false},
		{rootPkg, backoffPkg, false},
		{rootPkg, modulePath + "/internal/hold", true},
		{rootPkg, modulePath + "/capacity", false},
		{"capacity", modulePath + "/internal/hold", true},
		{"capacity", modulePath + "/internal/stackdump", false},
		{"supervise", modulePath, true},
		{"supervise", backoffPkg, true},
		{"supervise", panicsPkg, false},
		{"record", backoffPkg, false},
		{"record", modulePath, true},
		{"record", modulePath + "/view", false},
		{"view", modulePath, false},
		{"view", modulePath + "/view/internal/layout", true},
		{"view", modulePath + "/internal/queue", false},
		{rootPkg, modulePath + "/internal/queue", true},
		{"examples/checksum", modulePath, true},
		{"examples/checksum", modulePath + "/live", false},
		{"examples/checksum", panicsPkg, false},
	} {
		allowed, known := policyOf(mayImport, row.from)
		assert.True(t, known, row.from)
		assert.Equal(t, row.allowed, edgeAllowed(row.from, row.to, allowed), "%s → %s", row.from, row.to)
	}
	_, known := policyOf(mayImport, "utils")
	assert.False(t, known, "a package nobody has decided about")
	assert.Contains(t, whyForbidden(rootPkg, testifyModule+"/assert"), "link a test library")
	assert.Contains(t, whyForbidden("view", modulePath), "record's format, not traigo")
}

type listedPackage struct {
	ImportPath   string
	Export       string
	Standard     bool
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// listPackages runs go list; without arguments for all packages of the module.
func listPackages(t *testing.T, args ...string) []listedPackage {
	t.Helper()
	if len(args) == 0 {
		args = []string{"./..."}
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{
		"list", "-json=ImportPath,Export,Standard,Imports,TestImports,XTestImports",
	}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)

	var pkgs []listedPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg listedPackage
		err := dec.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		pkgs = append(pkgs, pkg)
	}
	require.NotEmpty(t, pkgs, "go list found nothing")
	return pkgs
}

// moduleDirs are the directories of the modules below the root.
func moduleDirs(t *testing.T) (dirs []string) {
	t.Helper()
	walkSources(t, ".", func(path string) {
		if filepath.Base(path) == "go.mod" && path != "go.mod" {
			dirs = append(dirs, filepath.ToSlash(filepath.Dir(path)))
		}
	})
	return dirs
}

// importsBelow reads the imports from the source: go list would first have to
// download what the module depends on.
func importsBelow(t *testing.T, dir string) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	walkSources(t, dir, func(path string) {
		if filepath.Ext(path) != ".go" {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range file.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			imports[path] = append(imports[path], to)
		}
	})
	return imports
}

// walkSources calls visit for every file of the repository below dir that is source.
func walkSources(t *testing.T, dir string, visit func(path string)) {
	t.Helper()
	skip := []string{".git", "node_modules", "testdata"}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !entry.IsDir():
			visit(path)
		case slices.Contains(skip, entry.Name()):
			return filepath.SkipDir
		}
		return nil
	}))
}

func isOurs(pkg string) bool { return pkg == modulePath || strings.HasPrefix(pkg, modulePath+"/") }

// dirOf turns the path of one of our packages into its directory.
func dirOf(pkg string) string {
	if pkg == modulePath {
		return rootPkg
	}
	return strings.TrimPrefix(pkg, modulePath+"/")
}

// ownerOf is the directory itself, and for an internal package that of the
// package it is a part of, unless it is in the table.
func ownerOf(dir string) string {
	if _, known := mayImport[dir]; known {
		return dir
	}
	owner, _, isPart := strings.Cut("/"+dir+"/", "/internal/")
	switch {
	case !isPart:
		return dir
	case owner == "":
		return rootPkg
	default:
		return strings.TrimPrefix(owner, "/")
	}
}

// isStandard tells by the first element: only paths of modules have a dot in it.
func isStandard(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return !strings.Contains(first, ".")
}

func isBelow(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }

func patternMatches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return isBelow(name, prefix)
	}
	return pattern == name
}

func policyOf(table map[string][]string, dir string) (allowed []string, known bool) {
	if allowed, known := table[dir]; known {
		return allowed, true
	}
	for pattern, allowed := range table {
		if patternMatches(pattern, dir) {
			return allowed, true
		}
	}
	return nil, false
}

func edgeAllowed(from, to string, allowed []string) bool {
	switch {
	case isStandard(to):
		return true
	case isOurs(to):
		return ownerOf(dirOf(to)) == from || slices.Contains(allowed, dirOf(to))
	default:
		return slices.Contains(allowed, to)
	}
}

func whyForbidden(from, to string) string {
	name := from
	if from == rootPkg {
		name = "the core"
	}
	for _, row := range edgeReasons {
		if patternMatches(row.from, from) && (patternMatches(row.to, to) || isOurs(to) && patternMatches(row.to, dirOf(to))) {
			return name + " may not import " + to + ": " + row.reason
		}
	}
	return name + " may not import " + to + ": not in the table in internal/policy, which is policy"
}
