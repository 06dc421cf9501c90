package scopecheck

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"
)

// goroutines reports go statements in tasks, whose goroutines the scope does not wait for.
// A goroutine is taken to be joined if the function waits for a sync.WaitGroup, or receives
// from a channel, that the go statement mentions. A goroutine that waits for a scope is no
// task of it, since that would wait for itself; and a function that cancels returns at once.
func (c *checker) goroutines() {
	for cur := range c.root.Preorder((*ast.GoStmt)(nil)) {
		p, inTask := c.placeOf(cur)
		stmt := cur.Node().(*ast.GoStmt)
		if !inTask || p.goroutine || c.isJoined(stmt, p.task.fn) || c.waitsForScope(stmt) || isCancelFunc(c.info.TypeOf(stmt.Call.Fun)) {
			continue
		}
		c.report(stmt, c.spawnInstead(stmt, p.task),
			"the goroutine that %s starts is not part of the scope: it may outlive it, a panic in it ends the program, and nobody learns of its error; spawn a task instead",
			p.task.what())
	}
}

// isJoined reports whether fn waits, outside of stmt, for something that stmt mentions.
func (c *checker) isJoined(stmt *ast.GoStmt, fn ast.Node) (is bool) {
	mentioned := map[types.Object]bool{}
	ast.Inspect(stmt, func(n ast.Node) bool {
		if id, isIdent := n.(*ast.Ident); isIdent {
			if v, isVar := c.info.Uses[id].(*types.Var); isVar {
				mentioned[v] = true
			}
		}
		return true
	})
	isMentioned := func(e ast.Expr) bool {
		switch e := ast.Unparen(e).(type) {
		case *ast.Ident:
			return mentioned[c.info.Uses[e]]
		case *ast.SelectorExpr:
			return mentioned[c.info.Uses[e.Sel]]
		}
		return false
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			return n != stmt
		case *ast.CallExpr:
			if sel, isSelector := ast.Unparen(n.Fun).(*ast.SelectorExpr); isSelector && sel.Sel.Name == "Wait" {
				is = is || isMentioned(sel.X)
			}
		case *ast.UnaryExpr:
			is = is || n.Op == token.ARROW && isMentioned(n.X)
		case *ast.RangeStmt:
			_, isChannel := c.info.TypeOf(n.X).Underlying().(*types.Chan)
			is = is || isChannel && isMentioned(n.X)
		}
		return !is
	})
	return is
}

func (c *checker) waitsForScope(stmt *ast.GoStmt) bool {
	return slices.ContainsFunc(c.calls, func(k *call) bool {
		return within(k.node, stmt) && k.is("Scope.Wait", "Scope.Close", "Scope.Shutdown")
	})
}

// spawnInstead makes a task of the goroutine, if it is a function literal without parameters
// and the scope is at hand.
func (c *checker) spawnInstead(stmt *ast.GoStmt, t *task) analysis.SuggestedFix {
	lit, isLiteral := ast.Unparen(stmt.Call.Fun).(*ast.FuncLit)
	if !isLiteral || len(stmt.Call.Args) > 0 || lit.Type.Results != nil || len(lit.Type.Params.List) > 0 {
		return noFix
	}
	if t.scope == nil || c.lookup(stmt, t.scope.Name()) != t.scope {
		return noFix
	}
	contextType, isText := c.text(paramsOf(t.fn)[0].Type)
	if !isText {
		return noFix
	}
	param := ""
	if t.ctx != nil && len(c.usesIn(t.ctx, lit)) > 0 {
		param = t.ctx.Name() + " "
	}
	edits := []analysis.TextEdit{
		{Pos: stmt.Pos(), End: lit.Body.Pos(), NewText: []byte(t.scope.Name() + ".Spawn(func(" + param + contextType + ") error ")},
		{Pos: lit.End(), End: stmt.End(), NewText: []byte(")")},
	}
	for ret := range returnsOf(lit) {
		edits = append(edits, insert(ret.End(), " nil"))
	}
	if !endsInReturn(lit.Body) {
		text := "return nil\n"
		if c.lineOf(lit.Body.Lbrace) == c.lineOf(lit.Body.Rbrace) {
			text = "\n" + text
		}
		edits = append(edits, insert(lit.Body.Rbrace, text))
	}
	return analysis.SuggestedFix{Message: "spawn a task in " + t.scope.Name(), TextEdits: edits}
}

func returnsOf(lit *ast.FuncLit) func(yield func(*ast.ReturnStmt) bool) {
	return func(yield func(*ast.ReturnStmt) bool) {
		more := true
		ast.Inspect(lit.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false
			case *ast.ReturnStmt:
				more = more && yield(n)
			}
			return more
		})
	}
}

// endsInReturn reports whether the end of body is not reached, as far as it needs no thought.
func endsInReturn(body *ast.BlockStmt) bool {
	if len(body.List) == 0 {
		return false
	}
	switch last := body.List[len(body.List)-1].(type) {
	case *ast.ReturnStmt:
		return true
	case *ast.ForStmt:
		return last.Cond == nil && !hasBreak(last)
	}
	return false
}

func hasBreak(n ast.Node) (has bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		branch, is := n.(*ast.BranchStmt)
		has = has || is && branch.Tok != token.CONTINUE
		return !has
	})
	return has
}
