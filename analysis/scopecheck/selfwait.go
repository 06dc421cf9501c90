package scopecheck

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/ast/edge"
	"golang.org/x/tools/go/ast/inspector"
)

// selfWaits reports calls that wait for the scope, the task or the group that they are a
// part of.
func (c *checker) selfWaits() {
	for _, k := range c.calls {
		if ctx := c.currentOf(k.recv); ctx != nil && k.is("Scope.Wait", "Scope.Close", "Scope.Shutdown") {
			if t := c.partOf(k.cur, func(t *task) bool { return t.ctx == ctx && t.isInCurrent() }); t != nil {
				c.report(k.node, noFix, "%s in %s waits for the scope that it is a part of, forever; wait where the scope was opened, or end it by traigo.Current(%s).Cancel or Finalize",
					k.short(), t.what(), ctx.Name())
				continue
			}
		}
		v := c.varOf(k.recv)
		if v == nil || len(c.variable(v).values) > 1 {
			continue // it may be another one than where the task was made
		}
		switch {
		case k.is("Scope.Wait", "Scope.Close", "Scope.Shutdown"):
			if t := c.partOf(k.cur, func(t *task) bool { return t.scope == v }); t != nil {
				c.report(k.node, noFix, "%s in %s waits for the scope that it is a part of, forever; wait where the scope was opened, or end it by %s.Cancel or %s.Finalize",
					k.short(), t.what(), v.Name(), v.Name())
			}
		case k.is("Task.Wait", "Future.Await"):
			if t := c.partOf(k.cur, func(t *task) bool { return !t.isDeclared() && c.handleOf(t.call) == v }); t != nil {
				c.report(k.node, noFix, "%s in %s waits for the task that it is called by, which is an error; wait in another task", k.short(), t.what())
			}
		case k.is("errgroup.Group.Wait"):
			if c.isInGroup(k.cur, v) {
				c.report(k.node, noFix, "Wait in a function of the group waits for itself, forever; wait where the group was made")
			}
		}
	}
}

// currentOf returns the variable ctx if the scope is Current(ctx), or a variable with that value.
// It returns nil if the scope is another one, or ctx is assigned to.
func (c *checker) currentOf(scope ast.Expr) *types.Var {
	k := c.callOf(scope)
	if v := c.varOf(scope); v != nil {
		k = c.callOf(c.valueOf(v))
	}
	if k == nil || !k.is("Current") {
		return nil
	}
	ctx := c.varOf(k.args[0])
	if ctx == nil || len(c.variable(ctx).values) > 1 {
		return nil
	}
	return ctx
}

// partOf returns the innermost task around cur for which is holds, as long as what is in
// between is waited for by it.
func (c *checker) partOf(cur inspector.Cursor, is func(*task) bool) *task {
	for {
		p, found := c.placeOf(cur)
		switch {
		case !found || p.goroutine:
			return nil
		case is(p.task):
			return p.task
		case p.task.isDeclared(), !p.task.call.is(blocks...) && !p.task.call.is(joined...):
			return nil
		}
		cur = p.task.call.cur
	}
}

// handleOf returns the variable that gets the task or future of a call.
func (c *checker) handleOf(k *call) *types.Var {
	if !k.is(spawning...) {
		return nil
	}
	if left, whole := c.target(k.cur); whole {
		return c.varOf(left)
	}
	return nil
}

// isInGroup reports whether cur is in a function literal that is given to Go of the group.
func (c *checker) isInGroup(cur inspector.Cursor, group *types.Var) bool {
	for f := range cur.Enclosing((*ast.FuncLit)(nil), (*ast.GoStmt)(nil)) {
		if _, is := f.Node().(*ast.GoStmt); is {
			return false
		}
		if at := outside(f); at.ParentEdgeKind() == edge.CallExpr_Args {
			k := c.callAt(at.Parent())
			return k != nil && k.is("errgroup.Group.Go", "errgroup.Group.TryGo") && c.varOf(k.recv) == group
		}
	}
	return false
}
