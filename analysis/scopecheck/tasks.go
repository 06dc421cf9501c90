package scopecheck

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/ast/edge"
	"golang.org/x/tools/go/ast/inspector"
)

// A task is a function with a context of its own that is given to a function of the module:
// the function of a task, the body of a scope, a function around which a time limit is set.
type task struct {
	fn    ast.Node   // *ast.FuncLit, or *ast.FuncDecl: see findDeclaredTasks
	call  *call      // one of them, if it is declared
	ctx   *types.Var // the parameter; nil if it has no name
	scope *types.Var // the scope that the function belongs to; nil if not known
	looks []token.Pos
}

// A function in blocks runs on the goroutine that calls the named function.
// One in joined runs on others, which the call waits for. All others are tasks of a scope
// that goes on when the call has returned, or that nothing is known of.
var (
	blocks = []string{
		"Run", "MoveOnAfter", "FailAfter", "Shield", "supervise.Run", "supervise.WithServices",
		"traigotest.Run", "serve.Main", "capacity.Limiter.Do",
	}
	joined = []string{
		"All", "Race", "Settle", "Map", "ForEach", "AsCompleted", "Ordered", "supervise.Retry",
	}
	spawning = []string{"Scope.Spawn", "Scope.TrySpawn", "Scope.Start", "Async"}
	bodies   = []string{"Run", "supervise.Run", "supervise.WithServices", "traigotest.Run", "serve.Main"}
)

// findTasks looks at the arguments of all calls. A variable stands for its value.
func (c *checker) findTasks() {
	for _, k := range c.calls {
		for _, arg := range k.args {
			lit, _ := ast.Unparen(arg).(*ast.FuncLit)
			if v := c.varOf(arg); v != nil {
				lit, _ = ast.Unparen(c.valueOf(v)).(*ast.FuncLit)
			}
			if lit != nil && c.tasks[lit] == nil {
				c.addTask(lit, c.info.TypeOf(lit), &task{call: k, scope: c.scopeOf(k)})
			}
		}
	}
}

// addTask notes that fn is a task, if its first parameter is a context.
func (c *checker) addTask(fn ast.Node, typ types.Type, t *task) {
	params := typ.(*types.Signature).Params()
	if params.Len() == 0 || !isContext(params.At(0).Type()) {
		return
	}
	t.fn = fn
	if name := params.At(0).Name(); name != "" && name != "_" {
		t.ctx = params.At(0)
	}
	for v := range params.Variables() {
		if isCore(v.Type(), "Scope") {
			t.scope = v
		}
	}
	t.looks = c.looksIn(bodyOf(fn))
	c.tasks[fn] = t
}

// scopeOf returns the scope that a call spawns in, if that is a variable.
func (c *checker) scopeOf(k *call) *types.Var {
	switch {
	case k.is("Async") && len(k.args) > 0:
		return c.varOf(k.args[0])
	case k.is(spawning...) && k.recv != nil:
		return c.varOf(k.recv)
	}
	return nil
}

// looksIn returns where the function looks whether a context is done, or cancels one. The
// code behind may be meant to run after a cancellation.
func (c *checker) looksIn(body *ast.BlockStmt) (at []token.Pos) {
	ast.Inspect(body, func(n ast.Node) bool {
		node, is := n.(*ast.CallExpr)
		if !is {
			return true
		}
		switch pkg, name := c.callee(node); {
		case pkg == "context" && (name == "Done" || name == "Err" || name == "Cause"),
			pkg == module && name == "Stopping",
			isCancelFunc(c.info.TypeOf(node.Fun)):
			at = append(at, node.Pos())
		}
		return true
	})
	return at
}

// usesOwn reports whether the function uses its context.
func (t *task) usesOwn(c *checker) bool { return t.ctx != nil && len(c.variable(t.ctx).uses) > 0 }

// what names the function in messages.
func (t *task) what() string {
	what := "the function given to " + t.call.short()
	if t.call.is(bodies...) {
		what = "the body of " + t.call.short()
	}
	if decl, is := t.fn.(*ast.FuncDecl); is {
		return decl.Name.Name + ", " + what + ","
	}
	return what
}

// A place is the function that a piece of code belongs to, and how it is reached there.
type place struct {
	task      *task
	deferred  bool
	goroutine bool // it is run by a go statement
}

// placeOf returns the innermost task around cur. There is none if cur is in another function
// literal, unless that is called where it stands: when other code calls it is not known.
func (c *checker) placeOf(cur inspector.Cursor) (p place, found bool) {
	for f := range cur.Enclosing((*ast.FuncLit)(nil), (*ast.FuncDecl)(nil), (*ast.DeferStmt)(nil), (*ast.GoStmt)(nil)) {
		switch node := f.Node().(type) {
		case *ast.FuncDecl:
			p.task = c.tasks[node]
			return p, p.task != nil
		case *ast.DeferStmt:
			p.deferred = true
		case *ast.GoStmt:
			p.goroutine = p.goroutine || f != cur
		case *ast.FuncLit:
			if p.task = c.tasks[node]; p.task != nil {
				return p, true
			}
			if outside(f).ParentEdgeKind() != edge.CallExpr_Fun {
				return place{}, false
			}
		}
	}
	return place{}, false
}

// mayBeCleanup reports whether the code at cur may be meant to run when the context of the
// task is done: it is deferred, it handles an error, or the task has looked at a context.
func (c *checker) mayBeCleanup(p place, cur inspector.Cursor) bool {
	if p.deferred || slices.ContainsFunc(p.task.looks, func(look token.Pos) bool { return look < cur.Node().Pos() }) {
		return true
	}
	for stmt := range cur.Enclosing((*ast.IfStmt)(nil)) {
		if node := stmt.Node().(*ast.IfStmt); within(node, p.task.fn) && c.isAboutError(node.Cond) && !within(cur.Node(), node.Cond) {
			if node.Init == nil || !within(cur.Node(), node.Init) {
				return true
			}
		}
	}
	return false
}

func (c *checker) isAboutError(cond ast.Expr) (is bool) {
	ast.Inspect(cond, func(n ast.Node) bool {
		e, isExpr := n.(ast.Expr)
		is = is || isExpr && isError(c.info.TypeOf(e))
		return !is
	})
	return is
}

func isError(t types.Type) bool {
	return t != nil && types.Identical(t, types.Universe.Lookup("error").Type())
}
