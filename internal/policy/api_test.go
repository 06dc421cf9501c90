package policy_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const apiFile = "testdata/api.txt"

// Every exported name of the package, one a line. A change of the API shows in
// review as a change of that file, and nothing changes it unseen.
func TestAPIIsTheGoldenOne(t *testing.T) {
	got := apiOf(corePackage(t))
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(apiFile, []byte(strings.Join(got, "\n")+"\n"), 0o644))
		return
	}
	golden, err := os.ReadFile(apiFile)
	require.NoError(t, err, "make api writes it")
	want := strings.Split(strings.TrimSpace(string(golden)), "\n")

	var changes []string
	for _, line := range want {
		if !slices.Contains(got, line) {
			changes = append(changes, "- "+line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			changes = append(changes, "+ "+line)
		}
	}
	if len(changes) > 0 {
		t.Errorf("the exported API is not what %s says; if that is meant: make api\n%s", apiFile, strings.Join(changes, "\n"))
	}
}

// corePackage is the package as the compiler has exported it.
func corePackage(t *testing.T) *types.Package {
	t.Helper()
	pkg, err := compiledImporter(t).Import(modulePath)
	require.NoError(t, err)
	return pkg
}

// compiledImporter finds the core and all it depends on.
func compiledImporter(t *testing.T) types.Importer {
	t.Helper()
	exports := map[string]string{}
	for _, pkg := range listPackages(t, "-export", "-deps", ".") {
		exports[pkg.ImportPath] = pkg.Export
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	return importer.ForCompiler(token.NewFileSet(), "gc", open)
}

func apiOf(pkg *types.Package) (lines []string) {
	for _, name := range pkg.Scope().Names() {
		if obj := pkg.Scope().Lookup(name); obj.Exported() {
			lines = append(lines, apiOfObject(obj)...)
		}
	}
	slices.Sort(lines)
	return lines
}

func apiOfObject(obj types.Object) []string {
	qualify := func(pkg *types.Package) string {
		if pkg == obj.Pkg() {
			return ""
		}
		return pkg.Name()
	}
	line := types.ObjectString(obj, qualify)
	switch obj := obj.(type) {
	case *types.Const:
		return []string{fmt.Sprintf("const %s %s = %s", obj.Name(), types.TypeString(obj.Type(), qualify), obj.Val())}
	case *types.TypeName:
		if obj.IsAlias() {
			return []string{line}
		}
		return apiOfType(obj, qualify)
	default:
		return []string{line}
	}
}

// apiOfType gives the type, its exported fields, and its method set: methods
// that come from embedded types are as much a promise as its own.
func apiOfType(obj *types.TypeName, qualify types.Qualifier) (lines []string) {
	named := obj.Type().(*types.Named)
	name := types.TypeString(named, qualify)
	head := "type " + name

	switch under := named.Underlying().(type) {
	case *types.Struct:
		lines = append(lines, head+" struct")
		for field := range under.Fields() {
			if field.Exported() {
				lines = append(lines, fmt.Sprintf("%s struct, %s %s", head, field.Name(), types.TypeString(field.Type(), qualify)))
			}
		}
	case *types.Interface:
		lines = append(lines, head+" interface")
		for method := range under.Methods() {
			if method.Exported() {
				lines = append(lines, fmt.Sprintf("%s interface, %s", head, apiSignature(method, qualify)))
			}
		}
		if slices.ContainsFunc(slices.Collect(under.Methods()), func(m *types.Func) bool { return !m.Exported() }) {
			lines = append(lines, head+" interface, with methods that are not exported")
		}
		return lines
	default:
		lines = append(lines, head+" "+types.TypeString(under, qualify))
	}

	onValue := types.NewMethodSet(named)
	for sel := range types.NewMethodSet(types.NewPointer(named)).Methods() {
		method := sel.Obj().(*types.Func)
		if !method.Exported() {
			continue
		}
		receiver := name
		if onValue.Lookup(obj.Pkg(), method.Name()) == nil {
			receiver = "*" + name
		}
		lines = append(lines, fmt.Sprintf("method (%s) %s", receiver, apiSignature(method, qualify)))
	}
	return lines
}

func apiSignature(method *types.Func, qualify types.Qualifier) string {
	return method.Name() + strings.TrimPrefix(types.TypeString(method.Type(), qualify), "func")
}

// The lines are made by code that could lose some: this is a package with one
// of each kind.
func TestAPIListsEveryKindOfName(t *testing.T) {
	const source = `package p
		import "time"
		const C T = 3
		const hidden = 4
		var V, W error
		func F[X any](x X, rest ...time.Duration) (ok bool) { return }
		type T uint8
		func (T) OnValue() {}
		func (*T) OnPointer(d time.Duration) (n int, err error) { return }
		func (T) hidden() {}
		type base struct{}
		func (*base) Promoted() {}
		type S[X any] struct { base; A, b int; Next *S[X] }
		type I interface { M(int); hidden() }
		type A = S[int]
	`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", source, parser.SkipObjectResolution)
	require.NoError(t, err)
	conf := types.Config{Importer: compiledImporter(t)}
	pkg, err := conf.Check("p", fset, []*ast.File{file}, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"const C T = 3",
		"func F[X any](x X, rest ...time.Duration) (ok bool)",
		"method (*S[X any]) Promoted()",
		"method (*T) OnPointer(d time.Duration) (n int, err error)",
		"method (T) OnValue()",
		"type A = S[int]",
		"type I interface",
		"type I interface, M(int)",
		"type I interface, with methods that are not exported",
		"type S[X any] struct",
		"type S[X any] struct, A int",
		"type S[X any] struct, Next *S[X]",
		"type T uint8",
		"var V error",
		"var W error",
	}, apiOf(pkg))
}
