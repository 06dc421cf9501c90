package scopecheck

import (
	"go/ast"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/ast/edge"
	"golang.org/x/tools/go/ast/inspector"
)

// A variable is what the package does with a variable.
type variable struct {
	uses   []inspector.Cursor // identifiers, in the order of the source; also where it is assigned
	values []ast.Expr         // what is assigned to it; nil where that is one of several results, or not known
	from   []ast.Expr         // the values, and the calls that have it as one of several results
}

func (c *checker) variable(v *types.Var) *variable {
	if c.vars[v] == nil {
		c.vars[v] = &variable{}
	}
	return c.vars[v]
}

func (c *checker) findVariables() {
	for cur := range c.root.Preorder(
		(*ast.Ident)(nil), (*ast.AssignStmt)(nil), (*ast.ValueSpec)(nil), (*ast.RangeStmt)(nil), (*ast.UnaryExpr)(nil), (*ast.FieldList)(nil),
	) {
		switch node := cur.Node().(type) {
		case *ast.Ident:
			if v, is := c.info.Uses[node].(*types.Var); is && !v.IsField() {
				x := c.variable(v)
				x.uses = append(x.uses, cur)
			}
		case *ast.AssignStmt:
			for i, left := range node.Lhs {
				c.assigned(left, node.Rhs, i, len(node.Lhs))
			}
		case *ast.ValueSpec:
			for i, left := range node.Names {
				if len(node.Values) > 0 {
					c.assigned(left, node.Values, i, len(node.Names))
				}
			}
		case *ast.RangeStmt:
			c.assigned(node.Key, nil, 0, 2)
			c.assigned(node.Value, nil, 0, 2)
		case *ast.FieldList: // parameters and results; the names of fields are no variables
			for _, field := range node.List {
				for _, name := range field.Names {
					c.assigned(name, nil, 0, 2)
				}
			}
		case *ast.UnaryExpr:
			if node.Op == token.AND { // anybody may assign to it
				c.assigned(node.X, nil, 0, 2)
				c.assigned(node.X, nil, 0, 2)
			}
		}
	}
}

// assigned records that left is the i-th of n variables that values are assigned to.
func (c *checker) assigned(left ast.Expr, values []ast.Expr, i, n int) {
	v := c.varOf(left)
	if v == nil {
		return
	}
	x := c.variable(v)
	if len(values) == n {
		x.values = append(x.values, values[i])
		x.from = append(x.from, values[i])
	} else {
		x.values = append(x.values, nil)
		x.from = append(x.from, values...)
	}
}

// varOf returns the variable that e names, or nil. Fields are none.
func (c *checker) varOf(e ast.Expr) *types.Var {
	id, _ := ast.Unparen(e).(*ast.Ident)
	if id == nil {
		return nil
	}
	v, _ := c.info.ObjectOf(id).(*types.Var)
	if v == nil || v.IsField() {
		return nil
	}
	return v
}

// valueOf returns the value of a variable that is assigned once, else nil.
func (c *checker) valueOf(v *types.Var) ast.Expr {
	if x := c.vars[v]; x != nil && len(x.values) == 1 {
		return x.values[0]
	}
	return nil
}

// target returns the variable that the expression at cur is assigned to as a whole.
// It returns _ for the blank identifier. If the expression is used in another way, whole
// is false.
func (c *checker) target(cur inspector.Cursor) (left ast.Expr, whole bool) {
	cur = outside(cur)
	switch kind, i := cur.ParentEdge(); kind {
	case edge.AssignStmt_Rhs:
		if stmt := cur.Parent().Node().(*ast.AssignStmt); len(stmt.Lhs) == len(stmt.Rhs) {
			return stmt.Lhs[i], true
		}
	case edge.ValueSpec_Values:
		if spec := cur.Parent().Node().(*ast.ValueSpec); len(spec.Names) == len(spec.Values) {
			return spec.Names[i], true
		}
	default:
	}
	return nil, false
}

func isBlank(e ast.Expr) bool {
	id, is := e.(*ast.Ident)
	return is && id.Name == "_"
}

// functionOf returns the innermost function that cur is in.
func functionOf(cur inspector.Cursor) (inspector.Cursor, bool) {
	for f := range cur.Enclosing((*ast.FuncLit)(nil), (*ast.FuncDecl)(nil)) {
		if f != cur {
			return f, true
		}
	}
	return inspector.Cursor{}, false
}

// isLocal reports whether v is declared in the body of the function, and not as one of its
// parameters or results.
func isLocal(v *types.Var, function ast.Node) bool {
	body := bodyOf(function)
	return body != nil && declaredIn(v, body)
}

func declaredIn(v *types.Var, node ast.Node) bool {
	return node.Pos() <= v.Pos() && v.Pos() < node.End()
}

func bodyOf(function ast.Node) *ast.BlockStmt {
	switch f := function.(type) {
	case *ast.FuncDecl:
		return f.Body
	case *ast.FuncLit:
		return f.Body
	}
	return nil
}

func paramsOf(function ast.Node) []*ast.Field {
	switch f := function.(type) {
	case *ast.FuncDecl:
		return f.Type.Params.List
	case *ast.FuncLit:
		return f.Type.Params.List
	}
	return nil
}

// A role is how a use of a scope, a task or a future treats it.
type role struct {
	method  string // that is called on it
	call    inspector.Cursor
	escapes bool // it is passed on, stored, returned or compared: others may do anything with it
}

// roleOf says what is done with the variable at cur. To hand it to a function of the module,
// as in Async(s, …), to assign to it and to drop it is none of these.
func (c *checker) roleOf(cur inspector.Cursor) role {
	cur = outside(cur)
	parent := cur.Parent()
	switch kind, i := cur.ParentEdge(); kind {
	case edge.SelectorExpr_X:
		if sel := outside(parent); sel.ParentEdgeKind() == edge.CallExpr_Fun {
			return role{method: parent.Node().(*ast.SelectorExpr).Sel.Name, call: sel.Parent()}
		}
	case edge.CallExpr_Args:
		if k := c.callAt(parent); k != nil {
			if k.recv == ast.Unparen(cur.Node().(ast.Expr)) {
				return role{method: k.short(), call: parent}
			}
			return role{}
		}
	case edge.AssignStmt_Lhs:
		return role{}
	case edge.AssignStmt_Rhs:
		if stmt := parent.Node().(*ast.AssignStmt); len(stmt.Lhs) == len(stmt.Rhs) && isBlank(stmt.Lhs[i]) {
			return role{}
		}
	default:
	}
	return role{escapes: true}
}
