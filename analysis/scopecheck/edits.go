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
	for _, decl := range c.fileOf(node).Decls {
		gen, is := decl.(*ast.GenDecl)
		if !is || gen.Tok != token.IMPORT {
			break
		}
		if gen.Lparen.IsValid() && len(gen.Specs) > 0 {
			return []analysis.TextEdit{insert(gen.Specs[0].Pos(), strconv.Quote(name)+"\n\t")}, true
		}
		return []analysis.TextEdit{insert(gen.Pos(), "import "+strconv.Quote(name)+"\n")}, true
	}
	return nil, false
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
