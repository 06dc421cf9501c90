package scopecheck

import (
	"go/ast"
	"go/token"
	"go/types"
	"strconv"

	"golang.org/x/tools/go/analysis"
)

func replace(node ast.Node, by string) analysis.TextEdit {
	return analysis.TextEdit{Pos: node.Pos(), End: node.End(), NewText: []byte(by)}
}

func insert(at token.Pos, text string) analysis.TextEdit {
	return analysis.TextEdit{Pos: at, End: at, NewText: []byte(text)}
}

// lookup returns the object that name stands for at node.
func (c *checker) lookup(node ast.Node, name string) types.Object {
	file := c.fileOf(node)
	if file == nil {
		return nil
	}
	scope := c.info.Scopes[file].Innermost(node.Pos())
	if scope == nil {
		return nil
	}
	_, object := scope.LookupParent(name, node.Pos())
	return object
}

func (c *checker) fileOf(node ast.Node) *ast.File {
	for _, file := range c.pass.Files {
		if file.FileStart <= node.Pos() && node.Pos() < file.FileEnd {
			return file
		}
	}
	return nil
}

// importing returns the edits after which name stands for the package at node, and whether
// that can be had. The package must have its name as its path.
func (c *checker) importing(name string, node ast.Node) (edits []analysis.TextEdit, ok bool) {
	switch object := c.lookup(node, name).(type) {
	case *types.PkgName:
		return nil, object.Imported().Path() == name
	case nil:
	default:
		return nil, false
	}
	// Imports come first, and there is one, since there is a call of traigo.
	imports, is := c.fileOf(node).Decls[0].(*ast.GenDecl)
	switch {
	case !is || imports.Tok != token.IMPORT || len(imports.Specs) == 0:
		return nil, false
	case imports.Lparen.IsValid():
		return []analysis.TextEdit{insert(imports.Specs[0].Pos(), strconv.Quote(name)+"\n\t")}, true
	default:
		return []analysis.TextEdit{insert(imports.Pos(), "import "+strconv.Quote(name)+"\n")}, true
	}
}

// text is the source of node.
func (c *checker) text(node ast.Node) (string, bool) {
	file := c.pass.Fset.File(node.Pos())
	source, err := c.pass.ReadFile(file.Name())
	if err != nil || file.Offset(node.End()) > len(source) {
		return "", false
	}
	return string(source[file.Offset(node.Pos()):file.Offset(node.End())]), true
}
