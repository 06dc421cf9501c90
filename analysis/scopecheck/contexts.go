package scopecheck

import (
	"go/ast"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/ast/edge"
	"golang.org/x/tools/go/ast/inspector"
)

// outerContexts reports functions that get a context of their own and hand on another one,
// from outside: that of a variable, or of the method Context of one, as in r.Context() of a
// request. It is no mistake
//
//   - to take only values from it, or to ask for its cause or its scope;
//   - to use it for cleanup, when the own context may be done;
//   - to use both, unless the function is a task of a scope and the outer context is that
//     of the scope's body: nothing can be gained by the one that hears of less;
//   - to use a context that the scope was not opened under, as far as that is known.
func (c *checker) outerContexts() {
	type key struct {
		task *task
		v    *types.Var
	}
	found := map[key][]inspector.Cursor{}
	replaced := map[*types.Var]int{}
	var order []key
	for v, x := range c.vars {
		if c.isDetached(x) {
			continue
		}
		for _, cur := range c.contextsOf(v) {
			p, inTask := c.placeOf(cur)
			if !inTask || p.task.isDeclared() || !c.isAbove(v, p.task, maxDepth) || declaredIn(v, p.task.fn) || c.isAssignedIn(x, p.task.fn) || !c.bounds(cur, p.task) {
				continue
			}
			if p.task.usesOwn(c) && !c.isOfBody(v, p.task) || c.mayBeCleanup(p, cur) {
				continue
			}
			k := key{p.task, v}
			if found[k] == nil {
				order = append(order, k)
			}
			found[k] = append(found[k], cur)
			replaced[v]++
		}
	}
	slices.SortFunc(order, func(a, b key) int { return int(found[a][0].Index() - found[b][0].Index()) })
	for _, k := range order {
		uses, fix := found[k], noFix
		if k.v.Kind() != types.LocalVar || c.reads(k.v) > replaced[k.v] { // without a use it does not compile
			fix = c.useOwn(k.task, k.v, uses)
		}
		why := ": it would not notice the end of its scope or its own time limit"
		if isRequest(k.v.Type()) && k.task.call.is(spawning...) {
			why = ", and is done when the handler of the request has returned: it may be cut off, and would not notice its own time limit"
		}
		c.report(uses[0].Node(), fix,
			"%s uses %s from outside, which is not canceled with its own context%s; use the context that it is given as a parameter",
			k.task.what(), contextName(k.v), why)
	}
}

// reads returns how often v is used other than by an assignment.
func (c *checker) reads(v *types.Var) (n int) {
	for _, cur := range c.variable(v).uses {
		if outside(cur).ParentEdgeKind() != edge.AssignStmt_Lhs {
			n++
		}
	}
	return n
}

// contextsOf returns where the context of v is taken: where v is used, if it is a context, and
// otherwise the calls of its method Context.
func (c *checker) contextsOf(v *types.Var) (at []inspector.Cursor) {
	if isContext(v.Type()) {
		return c.variable(v).uses
	}
	for _, cur := range c.variable(v).uses {
		if role := c.roleOf(cur); role.method == "Context" && c.isContextOf(role.call.Node(), v) {
			at = append(at, role.call)
		}
	}
	return at
}

// isContextOf reports whether n is v, if that is a context, or else v.Context().
func (c *checker) isContextOf(n ast.Node, v *types.Var) bool {
	if isContext(v.Type()) {
		id, is := n.(*ast.Ident)
		return is && c.varOf(id) == v
	}
	node, is := n.(*ast.CallExpr)
	if !is || len(node.Args) > 0 || !isContext(c.info.TypeOf(node)) {
		return false
	}
	sel, is := ast.Unparen(node.Fun).(*ast.SelectorExpr)
	return is && sel.Sel.Name == "Context" && c.varOf(sel.X) == v
}

func contextName(v *types.Var) string {
	if isContext(v.Type()) {
		return v.Name()
	}
	return v.Name() + ".Context()"
}

// isOfBody reports whether v is the context of the body of the scope that t is a task of.
func (c *checker) isOfBody(v *types.Var, t *task) bool {
	for _, body := range c.tasks {
		if body != t && body.ctx == v && body.scope != nil && body.scope == t.scope {
			return true
		}
	}
	return false
}

// maxDepth bounds how far back it is looked where a scope or a context comes from.
const maxDepth = 5

// isAbove reports whether v is, or may be, a context that t's own is canceled with: who uses
// another one means to.
func (c *checker) isAbove(v *types.Var, t *task, depth int) bool {
	args := t.call.args
	switch {
	case t.call.is(spawning...):
		return c.isAboveScope(v, c.scopeOf(t.call), depth)
	case len(args) > 0 && isContext(c.info.TypeOf(args[0])):
		return c.comesFrom(args[0], v, depth)
	}
	return !c.isMade(v)
}

func (c *checker) isAboveScope(v, scope *types.Var, depth int) bool {
	if depth == 0 {
		return false
	}
	if scope == nil {
		return !c.isMade(v)
	}
	if k := c.callOf(c.valueOf(v)); v == scope || k != nil && k.is("Scope.Context") && c.varOf(k.recv) == scope {
		return true
	}
	for _, body := range c.tasks {
		if body.scope == scope && !body.isDeclared() && !body.call.is(spawning...) {
			return body.ctx == v || c.isAbove(v, body, depth-1)
		}
	}
	switch opened := c.callOf(c.valueOf(scope)); {
	case opened == nil, opened.is("Current", "serve.RequestScope"):
		return !c.isMade(v)
	case opened.is("New"):
		return c.comesFrom(opened.args[0], v, depth)
	case opened.is("Scope.Fork"):
		return c.isAboveScope(v, c.varOf(opened.recv), depth-1)
	}
	return false
}

// isMade reports whether v was made by a function of package context: for a purpose. Of what
// has a method Context, only a request that is a parameter is known to be made elsewhere.
func (c *checker) isMade(v *types.Var) bool {
	if !isContext(v.Type()) {
		return !isRequest(v.Type()) || len(c.variable(v).from) > 0
	}
	return slices.ContainsFunc(c.variable(v).from, func(value ast.Expr) bool {
		node, is := ast.Unparen(value).(*ast.CallExpr)
		if !is {
			return false
		}
		pkg, _ := c.callee(node)
		return pkg == "context"
	})
}

// comesFrom reports whether a context is that of v, or is made from it by calls that keep its
// cancellation.
func (c *checker) comesFrom(e ast.Expr, v *types.Var, depth int) bool {
	is, detached := false, false
	ast.Inspect(e, func(n ast.Node) bool {
		is = is || c.isContextOf(n, v)
		switch n := n.(type) {
		case *ast.CallExpr:
			pkg, name := c.callee(n)
			detached = detached || pkg == "context" && name == "WithoutCancel"
		case *ast.Ident:
			if w := c.varOf(n); w != nil && !is && isContext(w.Type()) && depth > 0 && c.vars[w] != nil {
				is = slices.ContainsFunc(c.vars[w].from, func(value ast.Expr) bool { return c.comesFrom(value, v, depth-1) })
			}
		}
		return true
	})
	return is && !detached
}

// isDetached reports whether the variable was made to live on when others are canceled.
func (c *checker) isDetached(x *variable) (is bool) {
	for _, value := range x.from {
		ast.Inspect(value, func(n ast.Node) bool {
			if node, isCall := n.(*ast.CallExpr); isCall {
				pkg, name := c.callee(node)
				is = is || pkg == "context" && name == "WithoutCancel"
			}
			return !is
		})
	}
	return is
}

func (c *checker) isAssignedIn(x *variable, fn ast.Node) bool {
	return slices.ContainsFunc(x.uses, func(cur inspector.Cursor) bool {
		return outside(cur).ParentEdgeKind() == edge.AssignStmt_Lhs && within(cur.Node(), fn)
	})
}

// bounds reports whether the context at cur bounds what is called: it is an argument of a
// call that takes more of it than values, or its Done is called and the own is not used.
func (c *checker) bounds(cur inspector.Cursor, t *task) bool {
	if sel := cur.Parent(); cur.ParentEdgeKind() == edge.SelectorExpr_X {
		return sel.ParentEdgeKind() == edge.CallExpr_Fun && sel.Node().(*ast.SelectorExpr).Sel.Name == "Done" && !t.usesOwn(c)
	}
	return c.isHandedOn(cur)
}

// isHandedOn reports whether the context at cur is an argument of a function that takes more
// of it than values.
func (c *checker) isHandedOn(cur inspector.Cursor) bool {
	cur = outside(cur)
	kind, i := cur.ParentEdge()
	if kind != edge.CallExpr_Args {
		return false
	}
	node := cur.Parent().Node().(*ast.CallExpr)
	sig, is := c.info.TypeOf(node.Fun).Underlying().(*types.Signature)
	if !is || i >= sig.Params().Len() || !isContext(sig.Params().At(i).Type()) {
		return false
	}
	switch pkg, name := c.callee(node); pkg {
	case "context":
		return name != "Cause" && name != "WithoutCancel" && name != "AfterFunc"
	case module:
		return !slices.Contains([]string{"AdmitBefore", "Current", "CurrentTask", "New", "Stopping", "Values"}, name)
	case "log/slog", "runtime/pprof", "runtime/trace":
		return false
	}
	return true
}

// useOwn replaces the uses of v's context by the task's own, and names that if it has no name.
func (c *checker) useOwn(t *task, v *types.Var, uses []inspector.Cursor) (fix analysis.SuggestedFix) {
	outer := v
	if !isContext(v.Type()) {
		outer = nil // its name is not that of a context
	}
	name, edits := c.ownName(t, outer)
	if name == "" {
		return noFix
	}
	if t.ctx == nil && name == v.Name() && len(uses) != len(c.usesIn(v, t.fn)) {
		return noFix // the new parameter would hide v where it may be meant
	}
	for _, cur := range uses {
		if t.ctx != nil && c.lookup(cur.Node(), name) != t.ctx {
			return noFix // another variable has the name there
		}
		if name != v.Name() {
			edits = append(edits, replace(cur.Node(), name))
		}
	}
	return analysis.SuggestedFix{Message: "use the function's own context", TextEdits: edits}
}

func (c *checker) usesIn(v *types.Var, fn ast.Node) (uses []inspector.Cursor) {
	if x := c.vars[v]; x != nil {
		for _, cur := range x.uses {
			if within(cur.Node(), fn) {
				uses = append(uses, cur)
			}
		}
	}
	return uses
}

// ownName returns the name of the task's context. If it has none, ownName chooses one, and
// returns the edits that give it. It returns "" if the name might be confused with another.
func (c *checker) ownName(t *task, outer *types.Var) (name string, edits []analysis.TextEdit) {
	if t.ctx != nil {
		return t.ctx.Name(), nil
	}
	name = "ctx"
	if c.mentions(t.fn, name) && (outer == nil || outer.Name() != name) {
		if outer == nil {
			return "", nil
		}
		name = outer.Name()
	}
	for i, field := range paramsOf(t.fn) {
		switch {
		case i == 0 && len(field.Names) > 0:
			return name, []analysis.TextEdit{replace(field.Names[0], name)}
		case i == 0:
			edits = append(edits, insert(field.Type.Pos(), name+" "))
		default:
			edits = append(edits, insert(field.Type.Pos(), "_ "))
		}
	}
	return name, edits
}

func (c *checker) mentions(n ast.Node, name string) (is bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		id, isIdent := n.(*ast.Ident)
		is = is || isIdent && id.Name == name
		return !is
	})
	return is
}

// backgrounds reports context.Background() and context.TODO() where there is a context.
func (c *checker) backgrounds() {
	for cur := range c.root.Preorder((*ast.CallExpr)(nil)) {
		node := cur.Node().(*ast.CallExpr)
		pkg, name := c.callee(node)
		if pkg != "context" || name != "Background" && name != "TODO" || !c.isUsed(cur) || c.isPatience(cur) {
			continue
		}
		p, inTask := c.placeOf(cur)
		if !inTask || p.goroutine {
			continue
		}
		var fix analysis.SuggestedFix
		if !c.mayBeCleanup(p, cur) {
			fix = c.insteadOf(node, p.task)
		} else if c.isBounded(cur) {
			continue
		}
		c.report(node, fix,
			"context.%s in %s is not canceled with its scope, and does not carry it; use the context that the function is given as a parameter, and for cleanup after a cancellation traigo.Shield(ctx, d, …)",
			name, p.task.what())
	}
}

// isUsed reports whether the context at cur is handed on, there or by way of a variable.
func (c *checker) isUsed(cur inspector.Cursor) bool {
	if left, whole := c.target(cur); whole {
		x := c.vars[c.varOf(left)]
		return x != nil && slices.ContainsFunc(x.uses, c.isHandedOn)
	}
	return c.isHandedOn(cur)
}

// isPatience reports whether the context at cur says how long to wait for what ends by itself.
func (c *checker) isPatience(cur inspector.Cursor) bool {
	cur = outside(cur)
	if cur.ParentEdgeKind() != edge.CallExpr_Args {
		return false
	}
	k := c.callAt(cur.Parent())
	return k != nil && k.is("Task.Wait", "Future.Await", "Scope.Shutdown")
}

// isBounded reports whether the context at cur is given a time limit.
func (c *checker) isBounded(cur inspector.Cursor) bool {
	cur = outside(cur)
	if cur.ParentEdgeKind() != edge.CallExpr_Args {
		return false
	}
	pkg, name := c.callee(cur.Parent().Node().(*ast.CallExpr))
	return pkg == "context" && slices.Contains([]string{"WithTimeout", "WithDeadline", "WithTimeoutCause", "WithDeadlineCause"}, name)
}

func (c *checker) insteadOf(node ast.Node, t *task) analysis.SuggestedFix {
	name, edits := c.ownName(t, nil)
	if name == "" || t.ctx != nil && c.lookup(node, name) != t.ctx {
		return noFix
	}
	return analysis.SuggestedFix{Message: "use the function's own context", TextEdits: append(edits, replace(node, name))}
}
