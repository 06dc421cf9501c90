package scopecheck

import (
	"go/ast"
	"go/token"
	"slices"

	"golang.org/x/tools/go/ast/edge"
	"golang.org/x/tools/go/ast/inspector"
	"golang.org/x/tools/go/cfg"
)

// ending are the methods of a scope after which it ends, or somebody knows that it has ended.
var ending = []string{"Close", "Done", "Shutdown", "Wait"}

// endsFork are methods that suffice for a fork: its parent waits for it.
var endsFork = append([]string{"Cancel", "Finalize"}, ending...)

// unclosed reports scopes that nobody waits for on some path. A scope that is handed on, or
// that a function literal ends, is for others to wait for, from there on. The idea, and the way through the control flow
// graph, are those of the lostcancel check of go vet. A scope below another one that is
// canceled or closed in the same function ends with that.
func (c *checker) unclosed() {
	for _, k := range c.calls {
		if k.is("New", "Scope.Fork") && !c.endsWithAnother(k, maxDepth) {
			c.checkOpened(k)
		}
	}
}

// endsWithAnother reports whether the scope above the one that is opened, or one further up,
// is a variable that is canceled or closed.
func (c *checker) endsWithAnother(k *call, depth int) bool {
	above := k.recv
	if k.is("New") {
		if under := c.callOf(k.args[0]); under != nil && under.is("Scope.Context") {
			above = under.recv
		}
	}
	opened, v := c.callOf(above), c.varOf(above)
	if v != nil {
		opened = c.callOf(c.valueOf(v))
		for _, use := range c.variable(v).uses {
			if slices.Contains([]string{"Cancel", "Close", "Shutdown"}, c.roleOf(use).method) {
				return true
			}
		}
	}
	return opened != nil && depth > 0 && c.endsWithAnother(opened, depth-1)
}

func (c *checker) checkOpened(k *call) {
	cur := outside(k.cur)
	left, whole := c.target(cur)
	switch {
	case cur.ParentEdgeKind() == edge.ExprStmt_X, whole && isBlank(left):
		c.report(k.node, noFix, "the scope that %s opens is dropped, so that nobody can wait for it; %s", k.short(), advice(k))
	case cur.ParentEdgeKind() == edge.SelectorExpr_X:
		sel := cur.Parent()
		method := sel.Node().(*ast.SelectorExpr).Sel.Name
		isCall := sel.ParentEdgeKind() == edge.CallExpr_Fun
		if isCall && sel.Parent().ParentEdgeKind() == edge.ExprStmt_X && !slices.Contains(endsOf(k), method) {
			c.report(k.node, noFix, "the scope that %s opens is dropped after %s, so that nobody can wait for it; %s", k.short(), method, advice(k))
		}
	case whole:
		if id, is := ast.Unparen(left).(*ast.Ident); is {
			c.checkVariable(k, id)
		}
	}
}

// checkVariable checks the scope that is assigned to a variable of the function.
func (c *checker) checkVariable(k *call, id *ast.Ident) {
	v := c.varOf(id)
	function, is := functionOf(k.cur)
	if v == nil || !is || !isLocal(v, function.Node()) {
		return
	}
	if in, is := c.declaredBy(v.Pos()); !is || in != function {
		return
	}
	x := c.variable(v)
	var ends []token.Pos
	for _, use := range x.uses {
		in, _ := functionOf(use)
		isCaptured := in != function
		role := c.roleOf(use)
		switch {
		case isOneOf(outside(use).ParentEdgeKind(), edge.BinaryExpr_X, edge.BinaryExpr_Y):
			return // the paths depend on whether it is nil
		case role.escapes, isContextKept(role), slices.Contains(endsOf(k), role.method),
			isCaptured && slices.Contains(endsFork, role.method):
			if isCaptured && use.Node().Pos() < k.node.Pos() {
				return // when the function literal runs is not known
			}
			ends = append(ends, use.Node().Pos())
		}
	}
	if len(ends) == 0 && c.isOpenedHere(v) {
		c.report(k.node, noFix, "%s is never waited for: its tasks may outlive this function, and nobody learns of their errors; %s", v.Name(), advice(k))
		return
	}
	if len(ends) == 0 || len(x.values) > 1 {
		return // the paths depend on which of them it is
	}
	switch at := leak(c.graphOf(function), k.node, ends); at {
	case token.NoPos:
	case k.node.Pos():
		c.report(k.node, noFix, "%s is not waited for on a path that comes back here, and is then replaced by the next: its tasks may go on, and nobody learns of their errors; %s", v.Name(), advice(k))
	default:
		c.report(k.node, noFix, "%s is not waited for if the function returns in line %d: its tasks may outlive the function, and nobody learns of their errors; %s",
			v.Name(), c.lineOf(at).number, advice(k))
	}
}

// isContextKept reports whether the context of the scope is returned or stored: whoever has it
// has the scope, by Current.
func isContextKept(r role) bool {
	return r.method == "Context" && isOneOf(outside(r.call).ParentEdgeKind(), edge.ReturnStmt_Results, edge.KeyValueExpr_Value, edge.CompositeLit_Elts)
}

func endsOf(k *call) []string {
	if k.is("Scope.Fork") {
		return endsFork
	}
	return ending
}

func advice(k *call) string {
	if k.is("Scope.Fork") {
		return "call its Finalize, Wait or Close on each path, otherwise the scope above waits forever"
	}
	return "call its Wait or Close on each path and look at the error"
}

// declaredBy returns the innermost function around a declaration.
func (c *checker) declaredBy(pos token.Pos) (inspector.Cursor, bool) {
	at, found := c.root.FindByPos(pos, pos)
	if !found {
		return inspector.Cursor{}, false
	}
	return functionOf(at)
}

func (c *checker) graphOf(function inspector.Cursor) *cfg.CFG {
	switch f := function.Node().(type) {
	case *ast.FuncDecl:
		return c.cfgs.FuncDecl(f)
	case *ast.FuncLit:
		return c.cfgs.FuncLit(f)
	}
	return nil
}

// leak returns a return statement that is reached from opened without passing one of ends,
// or the position of opened if it is reached again.
func leak(g *cfg.CFG, opened ast.Node, ends []token.Pos) token.Pos {
	if g == nil {
		return token.NoPos
	}
	seen := map[*cfg.Block]bool{}
	// search looks at the nodes of b, and then at the blocks behind.
	var search func(b *cfg.Block, nodes []ast.Node) token.Pos
	search = func(b *cfg.Block, nodes []ast.Node) token.Pos {
		for _, node := range nodes {
			if slices.ContainsFunc(ends, func(end token.Pos) bool { return node.Pos() <= end && end < node.End() }) {
				return token.NoPos
			}
			if within(opened, node) {
				return opened.Pos()
			}
		}
		if ret := b.Return(); ret != nil {
			return ret.Pos()
		}
		for _, next := range b.Succs {
			if !seen[next] {
				seen[next] = true
				if at := search(next, next.Nodes); at.IsValid() {
					return at
				}
			}
		}
		return token.NoPos
	}
	for _, b := range g.Blocks {
		for i, node := range b.Nodes {
			if within(opened, node) {
				return search(b, b.Nodes[i+1:])
			}
		}
	}
	return token.NoPos
}
