package policy_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shownByItsType are methods that other packages call: package errors, package
// fmt, encoders. They are seen at work in the Example of their type.
var shownByItsType = map[string]bool{
	"As": true, "Error": true, "Format": true, "Is": true, "LogValue": true, "MarshalText": true, "UnmarshalText": true,
	"String": true, "Timeout": true, "Unwrap": true,
}

// noExample are the names without an Example, each with its reason.
var noExample = map[string]string{
	"ScopeOption": "nobody makes one but by calling an option, and each option has its own",
	"TaskOption":  "as ScopeOption",
	"Option":      "as ScopeOption",
}

// A function, method or type of the API that nobody has shown at work has not
// been tried either.
func TestExamplesShowEveryExportedName(t *testing.T) {
	shown := map[string][]*doc.Example{}
	pkg := packageDoc(t)
	addFuncs := func(prefix string, funcs []*doc.Func) {
		for _, fn := range funcs {
			if prefix == "" || !shownByItsType[fn.Name] {
				shown[prefix+fn.Name] = fn.Examples
			}
		}
	}
	addFuncs("", pkg.Funcs)
	for _, typ := range pkg.Types {
		shown[typ.Name] = typ.Examples
		addFuncs("", typ.Funcs)
		addFuncs(typ.Name+".", typ.Methods)
	}
	require.NotEmpty(t, shown)

	for name, examples := range shown {
		if reason, excepted := noExample[name]; excepted {
			assert.Empty(t, examples, "%s has an Example and an exception (%s)", name, reason)
			continue
		}
		assert.NotEmpty(t, examples, "%s has no Example", name)
		for _, example := range examples {
			assert.True(t, example.Output != "" || example.EmptyOutput,
				"Example%s has no // Output: it is compiled, but never run", example.Name)
		}
	}
	for name := range noExample {
		assert.Contains(t, shown, name, "an exception for a name that does not exist")
	}
}

// packageDoc is what go doc knows of the package, its Examples included.
func packageDoc(t *testing.T) *doc.Package {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
	}
	pkg, err := doc.NewFromFiles(fset, files, modulePath)
	require.NoError(t, err)
	return pkg
}
