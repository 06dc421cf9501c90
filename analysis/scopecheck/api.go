package scopecheck

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/ast/edge"
	"golang.org/x/tools/go/ast/inspector"
	"golang.org/x/tools/go/types/typeutil"
)

const module = "github.com/traigo/traigo"

// notAPI are directories of the module whose functions are not for users of traigo.
var notAPI = []string{"analysis", "bench", "cmd", "examples", "internal", "test"}

// usesModule reports whether pkg is a package of the module or imports one.
func usesModule(pkg *types.Package) bool {
	is := func(pkg *types.Package) bool { _, is := inModule(pkg); return is }
	return is(pkg) || slices.ContainsFunc(pkg.Imports(), is)
}

// inModule returns the directory of a package in the module: "" for the core.
func inModule(pkg *types.Package) (dir string, is bool) {
	dir, is = strings.CutPrefix(pkg.Path(), module)
	if !is || dir != "" && dir[0] != '/' || strings.HasSuffix(dir, "_test") {
		return "", false
	}
	dir = strings.TrimPrefix(dir, "/")
	first, _, _ := strings.Cut(dir, "/")
	return dir, !slices.Contains(notAPI, first)
}

// A call is a call of a function or method of the module.
type call struct {
	cur  inspector.Cursor
	node *ast.CallExpr
	name string     // as apiName has it
	recv ast.Expr   // of a method; nil for a function
	args []ast.Expr // without the receiver
}

// is reports whether the call is one of the named functions.
func (k *call) is(names ...string) bool { return slices.Contains(names, k.name) }

// short is the name without its type and package, for messages.
func (k *call) short() string { return k.name[strings.LastIndexByte(k.name, '.')+1:] }

// isStatement reports whether the results of the call are dropped.
func (k *call) isStatement() bool {
	return isOneOf(outside(k.cur).ParentEdgeKind(), edge.ExprStmt_X, edge.DeferStmt_Call, edge.GoStmt_Call)
}

// callOf returns the call that e is, or nil.
func (c *checker) callOf(e ast.Expr) *call {
	node, _ := ast.Unparen(e).(*ast.CallExpr)
	return c.byNode[node]
}

func (c *checker) findCalls() {
	for cur := range c.root.Preorder((*ast.CallExpr)(nil)) {
		if k := c.callAt(cur); k != nil {
			c.calls = append(c.calls, k)
			c.byNode[k.node] = k
		}
	}
}

// callAt returns the call at cur, or nil if it is not one of the module. A variable that
// was assigned once, such as f after f := s.Wait, stands for its value.
func (c *checker) callAt(cur inspector.Cursor) *call {
	node := cur.Node().(*ast.CallExpr)
	fun, args := ast.Unparen(node.Fun), node.Args
	object := typeutil.Callee(c.info, node)
	if v, is := object.(*types.Var); is {
		if fun = ast.Unparen(c.valueOf(v)); fun == nil {
			return nil
		}
		object = typeutil.Callee(c.info, &ast.CallExpr{Fun: fun})
	}
	fn, _ := object.(*types.Func)
	if fn == nil {
		return nil
	}
	name := apiName(fn)
	if name == "" {
		return nil
	}
	k := &call{cur: cur, node: node, name: name, args: args}
	if sel, is := fun.(*ast.SelectorExpr); is && fn.Signature().Recv() != nil {
		switch selection := c.info.Selections[sel]; {
		case selection.Kind() == types.MethodVal:
			k.recv = ast.Unparen(sel.X)
		case len(args) > 0: // (*traigo.Scope).Wait(s)
			k.recv, k.args = ast.Unparen(args[0]), args[1:]
		}
	}
	return k
}

// apiName names a function of the module by its directory, type and name, as in "Run",
// "Scope.Wait" and "supervise.Restart". It returns "" for any other function.
func apiName(fn *types.Func) string {
	if fn.Pkg() == nil {
		return ""
	}
	dir, is := inModule(fn.Pkg())
	if !is {
		return ""
	}
	name := fn.Name()
	if recv := fn.Signature().Recv(); recv != nil {
		name = typeName(recv.Type()) + "." + name
	}
	if dir != "" {
		name = dir + "." + name
	}
	return name
}

func typeName(t types.Type) string {
	if pointer, is := types.Unalias(t).(*types.Pointer); is {
		t = pointer.Elem()
	}
	if named, is := types.Unalias(t).(*types.Named); is {
		return named.Obj().Name()
	}
	return ""
}

// isCore reports whether t is *traigo.NAME, also as an instance of a generic type.
func isCore(t types.Type, name string) bool {
	return isPointerTo(t, module, name)
}

// isRequest reports whether t is *http.Request.
func isRequest(t types.Type) bool {
	return isPointerTo(t, "net/http", "Request")
}

func isContext(t types.Type) bool { return isOfPackage(t, "context", "Context") }

func isCancelFunc(t types.Type) bool {
	return isOfPackage(t, "context", "CancelFunc", "CancelCauseFunc")
}

func isPointerTo(t types.Type, path, name string) bool {
	pointer, is := types.Unalias(t).(*types.Pointer)
	return is && isOfPackage(pointer.Elem(), path, name)
}

func isOfPackage(t types.Type, path string, names ...string) bool {
	named, is := types.Unalias(t).(*types.Named)
	return is && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == path && slices.Contains(names, named.Obj().Name())
}

// callee returns the package and the name of the function that node calls.
func (c *checker) callee(node *ast.CallExpr) (pkg, name string) {
	if fn, _ := typeutil.Callee(c.info, node).(*types.Func); fn != nil && fn.Pkg() != nil {
		return fn.Pkg().Path(), fn.Name()
	}
	return "", ""
}

// outside returns the cursor of the outermost expression that is cur in parentheses.
func outside(cur inspector.Cursor) inspector.Cursor {
	for cur.ParentEdgeKind() == edge.ParenExpr_X {
		cur = cur.Parent()
	}
	return cur
}

func isOneOf(kind edge.Kind, kinds ...edge.Kind) bool { return slices.Contains(kinds, kind) }

func within(node, outer ast.Node) bool { return outer.Pos() <= node.Pos() && node.End() <= outer.End() }
