package scopecheck

import (
	"fmt"
	"go/ast"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/ast/edge"
	"golang.org/x/tools/go/ast/inspector"
)

var (
	asking  = []string{"Close", "Shutdown", "Wait"} // methods of a scope that return its outcome
	running = []string{"Run", "ForEach", "supervise.Run", "supervise.WithServices"}
)

// dropped reports outcomes that nobody looks at. Of a scope that was opened in the function
// it reports one call, if no other asks for the outcome and the scope is not handed on.
func (c *checker) dropped() {
	seen := map[*types.Var]bool{}
	for _, k := range c.calls {
		switch {
		case !k.isStatement():
		case k.is(running...):
			c.report(k.node, noFix, "nobody looks at the error that %s returns, the outcome of all that ran in it; return it, log it, or say by _ = that it is of no interest", k.short())
		case k.is("Scope.Close", "Scope.Shutdown", "Scope.Wait"):
			v := c.varOf(k.recv)
			if v == nil || seen[v] || !c.isOpenedHere(v) || c.isAsked(v) {
				continue
			}
			seen[v] = true
			fix := c.joinError(k)
			how := "return it, log it, or say by _ = that it is of no interest"
			if len(fix.TextEdits) > 0 {
				how = "join it with the error that the function returns"
			}
			c.report(k.node, fix, "nobody looks at the error that %s returns: if a task has failed, it is lost here; %s", k.short(), how)
		}
	}
}

// isOpenedHere reports whether all values of v are scopes opened by New or Fork.
func (c *checker) isOpenedHere(v *types.Var) bool {
	x := c.variable(v)
	return len(x.values) > 0 && !slices.ContainsFunc(x.values, func(value ast.Expr) bool {
		k := c.callOf(value)
		return k == nil || !k.is("New", "Scope.Fork")
	})
}

// isAsked reports whether the outcome of v is looked at, or may be by others.
func (c *checker) isAsked(v *types.Var) bool {
	return slices.ContainsFunc(c.variable(v).uses, func(use inspector.Cursor) bool {
		role := c.roleOf(use)
		switch {
		case role.escapes, role.method == "Err":
			return true
		case slices.Contains(asking, role.method):
			k := c.byNode[role.call.Node().(*ast.CallExpr)]
			return k != nil && !k.isStatement()
		}
		return false
	})
}

// joinError makes a deferred call set the named error of the function that it is in.
func (c *checker) joinError(k *call) analysis.SuggestedFix {
	cur := outside(k.cur)
	function, is := functionOf(k.cur)
	if cur.ParentEdgeKind() != edge.DeferStmt_Call || !is {
		return noFix
	}
	result := errorResult(function.Node())
	source, isText := c.text(k.node)
	if result == nil || !isText || c.lookup(k.node, result.Name) != c.info.Defs[result] {
		return noFix
	}
	edits, ok := c.importing("errors", k.node)
	if !ok {
		return noFix
	}
	joined := fmt.Sprintf("func() { %[1]s = errors.Join(%[1]s, %[2]s) }()", result.Name, source)
	return analysis.SuggestedFix{Message: "join the error with " + result.Name, TextEdits: append(edits, replace(k.node, joined))}
}

// errorResult returns the last result of a function, if it has a name and is an error.
func errorResult(function ast.Node) *ast.Ident {
	var results *ast.FieldList
	switch f := function.(type) {
	case *ast.FuncDecl:
		results = f.Type.Results
	case *ast.FuncLit:
		results = f.Type.Results
	}
	if results == nil || len(results.List) == 0 {
		return nil
	}
	last := results.List[len(results.List)-1]
	name, isName := last.Type.(*ast.Ident)
	if !isName || name.Name != "error" || len(last.Names) == 0 || isBlank(last.Names[len(last.Names)-1]) {
		return nil
	}
	return last.Names[len(last.Names)-1]
}
