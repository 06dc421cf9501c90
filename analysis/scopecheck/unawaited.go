package scopecheck

import (
	"go/ast"
	"slices"

	"golang.org/x/tools/go/ast/edge"
	"golang.org/x/tools/go/ast/inspector"
)

// unawaited reports futures that are dropped, and those in variables on which neither Await
// nor Task is called. A future whose error bubbles belongs to its scope.
func (c *checker) unawaited() {
	for _, k := range c.calls {
		if !k.is("Async", "proc.Function.Async", "actor.Function.Async") || c.mayBubble(k) {
			continue
		}
		cur := outside(k.cur)
		switch left, whole := c.target(cur); {
		case cur.ParentEdgeKind() == edge.ExprStmt_X:
			c.reportUnawaited(k, "the future of "+k.short())
		case whole && !isBlank(left):
			v := c.varOf(left)
			function, inFunction := functionOf(k.cur)
			if v == nil || !inFunction || !isLocal(v, function.Node()) {
				continue
			}
			isUsed := func(use inspector.Cursor) bool { role := c.roleOf(use); return role.escapes || role.method != "" }
			if !slices.ContainsFunc(c.variable(v).uses, isUsed) {
				c.reportUnawaited(k, v.Name())
			}
		}
	}
}

func (c *checker) reportUnawaited(k *call, what string) {
	c.report(k.node, noFix, "nobody awaits %s: its error cancels nothing, and is found only in the outcome of the scope or in the log; call Await, use Spawn if the result is of no interest, or give traigo.Bubble(true)", what)
}

// mayBubble reports whether Bubble(true) may be among the options of a call: it is, or an
// option is not written as a call, so that it is not known.
func (c *checker) mayBubble(k *call) bool {
	if k.node.Ellipsis.IsValid() {
		return true
	}
	for _, arg := range k.args {
		if typeName(c.info.TypeOf(arg)) != "TaskOption" && typeName(c.info.TypeOf(arg)) != "Option" {
			continue
		}
		node, isCall := ast.Unparen(arg).(*ast.CallExpr)
		if !isCall {
			return true
		}
		pkg, name := c.callee(node)
		if pkg != module {
			return true
		}
		if name != "Bubble" {
			continue
		}
		if value := c.info.Types[node.Args[0]].Value; value == nil || value.ExactString() != "false" {
			return true
		}
	}
	return false
}
