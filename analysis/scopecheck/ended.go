package scopecheck

import (
	"go/ast"

	"golang.org/x/tools/go/ast/edge"
	"golang.org/x/tools/go/ast/inspector"
)

// endedContexts reports contexts that are handed on when they are done for certain: the
// context of a scope in statements behind the one that waited for the scope, and that of a
// body or function in statements behind the call that ran it.
func (c *checker) endedContexts() {
	for _, k := range c.calls {
		if k.is("Scope.Wait", "Scope.Close", "Scope.Shutdown") {
			c.checkAfterWait(k)
		}
	}
	for _, t := range c.tasks {
		if t.ctx != nil && !t.isDeclared() && t.call.is(append(blocks, "All", "ForEach", "Map", "Race", "Settle")...) {
			c.checkStored(t)
		}
	}
}

func (c *checker) checkAfterWait(k *call) {
	v := c.varOf(k.recv)
	if v == nil || len(c.variable(v).values) > 1 {
		return
	}
	for _, use := range c.behind(k, c.variable(v).uses) {
		role := c.roleOf(use)
		if role.method != "Context" {
			continue
		}
		if c.isHandedOn(role.call) {
			c.reportEnded(role.call.Node(), v.Name()+".Context()", v.Name()+"."+k.short())
		}
	}
	for ctx, x := range c.vars { // ctx := s.Context()
		value, is := ast.Unparen(c.valueOf(ctx)).(*ast.CallExpr)
		if !is || !isContext(ctx.Type()) {
			continue
		}
		sel, is := ast.Unparen(value.Fun).(*ast.SelectorExpr)
		if !is || sel.Sel.Name != "Context" || c.varOf(sel.X) != v {
			continue
		}
		for _, use := range c.behind(k, x.uses) {
			if c.isHandedOn(use) {
				c.reportEnded(use.Node(), ctx.Name(), v.Name()+"."+k.short())
			}
		}
	}
}

// checkStored looks for the context of a function in variables of the function around.
func (c *checker) checkStored(t *task) {
	for _, use := range c.variable(t.ctx).uses {
		left, whole := c.target(use)
		if !whole {
			continue
		}
		v := c.varOf(left)
		if v == nil || declaredIn(v, t.fn) || c.valueOf(v) == nil {
			continue
		}
		for _, later := range c.behind(t.call, c.variable(v).uses) {
			if c.isHandedOn(later) {
				c.reportEnded(later.Node(), v.Name(), t.call.short())
			}
		}
	}
}

func (c *checker) reportEnded(node ast.Node, ctx, call string) {
	c.report(node, noFix, "%s is done here, since %s has returned: what is called with it is canceled at once; use a context from outside of the scope", ctx, call)
}

// behind returns those of the uses that stand in statements behind that of the call, in the
// same list of statements, if the call is made whenever its statement is. A use in a function
// literal may come at another time, and so may a deferred one.
func (c *checker) behind(k *call, uses []inspector.Cursor) (later []inspector.Cursor) {
	stmt, ok := c.statementOf(k.cur)
	if !ok {
		return nil
	}
	function, _ := functionOf(k.cur)
	for next, ok := stmt.NextSibling(); ok; next, ok = next.NextSibling() {
		if !isOneOf(next.ParentEdgeKind(), edge.BlockStmt_List, edge.CaseClause_Body, edge.CommClause_Body) {
			break
		}
		if _, isLabel := next.Node().(*ast.LabeledStmt); isLabel {
			break // a goto may lead there
		}
		for _, use := range uses {
			if in, _ := functionOf(use); in == function && within(use.Node(), next.Node()) && !isDeferred(use, next.Node()) {
				later = append(later, use)
			}
		}
	}
	return later
}

func isDeferred(use inspector.Cursor, in ast.Node) bool {
	for stmt := range use.Enclosing((*ast.DeferStmt)(nil)) {
		if within(stmt.Node(), in) {
			return true
		}
	}
	return false
}

// statementOf returns the statement that makes the call at cur, unless that depends on a
// condition, or the call is made later or by another goroutine.
func (c *checker) statementOf(cur inspector.Cursor) (inspector.Cursor, bool) {
	for ; cur.Valid() && cur.Node() != nil; cur = cur.Parent() {
		switch kind := cur.ParentEdgeKind(); kind {
		case edge.BlockStmt_List, edge.CaseClause_Body, edge.CommClause_Body:
			return cur, true
		case edge.DeferStmt_Call, edge.GoStmt_Call, edge.FuncLit_Body, edge.IfStmt_Body, edge.IfStmt_Else,
			edge.ForStmt_Body, edge.ForStmt_Cond, edge.ForStmt_Post, edge.RangeStmt_Body, edge.RangeStmt_X, edge.BinaryExpr_Y:
			return inspector.Cursor{}, false
		default: // a part of the statement that is evaluated with it
		}
	}
	return inspector.Cursor{}, false
}
