package scopecheck

import (
	"go/ast"
	"go/types"
	"slices"

	"golang.org/x/tools/go/ast/edge"
	"golang.org/x/tools/go/ast/inspector"
)

// findDeclaredTasks finds the declared functions and methods that are tasks, as work is in
// s.Spawn(work): nothing is done with them but to hand them to functions of the module. A function
// that is called or stored as well may be meant for other callers too, and so is not looked at.
// Nor is one that another package can name, and a method that can be called by an interface.
// Which variables there are around the calls that it is given to does not matter in its body, so
// that only the rules goroutine, background and selfwait apply.
func (c *checker) findDeclaredTasks() {
	declared := map[*types.Func]*ast.FuncDecl{}
	inInterface := map[string]bool{}
	for id, object := range c.info.Defs {
		if fn, is := object.(*types.Func); is {
			if recv := fn.Signature().Recv(); recv != nil && types.IsInterface(recv.Type()) {
				inInterface[id.Name] = true
			}
		}
	}
	for cur := range c.root.Preorder((*ast.FuncDecl)(nil)) {
		decl := cur.Node().(*ast.FuncDecl)
		viaInterface := decl.Recv != nil && inInterface[decl.Name.Name]
		if fn, is := c.info.Defs[decl.Name].(*types.Func); is && decl.Body != nil && !fn.Exported() && !viaInterface {
			declared[fn] = decl
		}
	}
	given := map[*types.Func]*call{}
	for cur := range c.root.Preorder((*ast.Ident)(nil)) {
		fn, _ := c.info.Uses[cur.Node().(*ast.Ident)].(*types.Func)
		if fn == nil || declared[fn.Origin()] == nil {
			continue
		}
		fn = fn.Origin()
		k := c.givenTo(cur)
		if k == nil {
			delete(declared, fn)
		} else if given[fn] == nil || !k.is(withCurrent...) {
			given[fn] = k
		}
	}
	for fn, decl := range declared {
		if k := given[fn]; k != nil {
			c.addTask(decl, fn.Type(), &task{call: k})
		}
	}
}

// givenTo returns the call that the function with the name at cur is an argument of, or nil if it
// is used in another way. A method expression, as (*T).work, is another function.
func (c *checker) givenTo(cur inspector.Cursor) *call {
	if cur.ParentEdgeKind() == edge.SelectorExpr_Sel {
		cur = cur.Parent()
		if selection := c.info.Selections[cur.Node().(*ast.SelectorExpr)]; selection != nil && selection.Kind() != types.MethodVal {
			return nil
		}
	}
	cur = outside(cur)
	if isOneOf(cur.ParentEdgeKind(), edge.IndexExpr_X, edge.IndexListExpr_X) { // work[int]
		cur = outside(cur.Parent())
	}
	if cur.ParentEdgeKind() != edge.CallExpr_Args {
		return nil
	}
	return c.byNode[cur.Parent().Node().(*ast.CallExpr)]
}

// withCurrent are functions that give a function the context of the scope that it is part of.
// With the others, such as MoveOnAfter and supervise.Every, the caller may have the context from
// elsewhere.
var withCurrent = slices.Concat(bodies, joined, spawning, []string{
	"supervise.Restart", "supervise.Services.Spawn", "supervise.Services.Start", "supervise.Siblings.Spawn",
})

// isInCurrent reports whether the function is a part of the scope that Current returns for its
// context.
func (t *task) isInCurrent() bool { return t.call.is(withCurrent...) }

func (t *task) isDeclared() bool {
	_, is := t.fn.(*ast.FuncDecl)
	return is
}
