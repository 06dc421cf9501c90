// Package scopecheck reports mistakes in code that uses github.com/traigo/traigo: what
// compiles, and then leaks a scope, loses an error, waits for itself, or does not notice
// that it was canceled.
//
// [Analyzer] is an analyzer of golang.org/x/tools/go/analysis. The command
// analysis/cmd/scopecheck runs it alone or as a tool of go vet, and the package
// analysis/plugin in golangci-lint.
//
// # Rules
//
// Each rule can be switched off by the flag that has its name, as in -goroutine=false.
//
//	unclosed    a scope of New or Fork that is not waited for on some path
//	dropped     an outcome that nobody looks at: defer s.Close(), or traigo.Run as a statement
//	outerctx    a context from outside, such as r.Context(), in a function that is given its own
//	background  context.Background() in such a function
//	endedctx    the context of a scope, used after the scope was waited for
//	selfwait    a scope that is waited for by its own body or by one of its tasks
//	unawaited   a Future that nobody awaits
//	goroutine   a go statement in a task, whose goroutine may outlive the scope
//
// A rule reports only what is wrong whatever the rest of the program does. Where other
// code may do what is missing, since a scope or a context is passed on, stored or
// returned, nothing is reported. The README of the module lists what is not found.
//
// In a statement such as _ = s.Close() the blank identifier says that the value is dropped
// on purpose, and is not reported. The comment
//
//	//scopecheck:ignore REASON
//
// in the line of a report or in the line above suppresses it.
package scopecheck

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/ctrlflow"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
)

// Analyzer reports misuses of traigo. Its diagnostics have the name of the rule as their
// Category.
var Analyzer = newAnalyzer()

// A rule is a check that can be switched off.
type rule struct {
	name  string
	what  string
	check func(*checker)
}

var rules = []rule{
	{"unclosed", "report scopes of New and Fork that are not waited for", (*checker).unclosed},
	{"dropped", "report outcomes that nobody looks at", (*checker).dropped},
	{"outerctx", "report contexts from outside of a function that has a context of its own", (*checker).outerContexts},
	{"background", "report context.Background and TODO in functions that have a context of their own", (*checker).backgrounds},
	{"endedctx", "report contexts that are used after the end of their scope", (*checker).endedContexts},
	{"selfwait", "report tasks and bodies that wait for their own scope", (*checker).selfWaits},
	{"unawaited", "report futures that nobody awaits", (*checker).unawaited},
	{"goroutine", "report go statements in tasks", (*checker).goroutines},
}

func newAnalyzer() *analysis.Analyzer {
	a := &analysis.Analyzer{
		Name: "scopecheck",
		Doc: "report misuses of traigo's scopes, tasks and contexts\n\n" +
			"It finds scopes that are not waited for, outcomes that are dropped, contexts that are not canceled " +
			"with the task that uses them, tasks that wait for their own scope, futures that nobody awaits, and " +
			"goroutines that escape their scope.",
		URL:      "https://pkg.go.dev/" + module + "/analysis/scopecheck",
		Requires: []*analysis.Analyzer{inspect.Analyzer, ctrlflow.Analyzer},
	}
	for _, r := range rules {
		a.Flags.Bool(r.name, true, r.what)
	}
	a.Run = func(pass *analysis.Pass) (any, error) {
		if !usesModule(pass.Pkg) {
			return nil, nil
		}
		c := newChecker(pass)
		for _, r := range rules {
			if a.Flags.Lookup(r.name).Value.(flag.Getter).Get().(bool) {
				c.rule = r.name
				r.check(c)
			}
		}
		c.reportFound()
		return nil, nil
	}
	return a
}

// A checker has what the rules need to know about a package.
type checker struct {
	pass    *analysis.Pass
	info    *types.Info
	root    inspector.Cursor
	cfgs    *ctrlflow.CFGs
	rule    string // that is being checked
	vars    map[*types.Var]*variable
	calls   []*call // of the traigo module, in the order of the source
	byNode  map[*ast.CallExpr]*call
	tasks   map[ast.Node]*task
	ignored map[line]bool
	found   []analysis.Diagnostic
}

type line struct {
	file   string
	number int
}

func newChecker(pass *analysis.Pass) *checker {
	c := &checker{
		pass:    pass,
		info:    pass.TypesInfo,
		root:    pass.ResultOf[inspect.Analyzer].(*inspector.Inspector).Root(),
		cfgs:    pass.ResultOf[ctrlflow.Analyzer].(*ctrlflow.CFGs),
		vars:    map[*types.Var]*variable{},
		byNode:  map[*ast.CallExpr]*call{},
		tasks:   map[ast.Node]*task{},
		ignored: map[line]bool{},
	}
	c.findVariables()
	c.findCalls()
	c.findTasks()
	c.findDeclaredTasks()
	c.findIgnored()
	return c
}

// findIgnored collects the lines in which nothing is to be reported.
func (c *checker) findIgnored() {
	const directive = "//scopecheck:ignore"
	for _, file := range c.pass.Files {
		for _, group := range file.Comments {
			for _, comment := range group.List {
				reason, is := strings.CutPrefix(comment.Text, directive)
				if !is || reason != "" && reason[0] != ' ' {
					continue
				}
				if strings.TrimSpace(reason) == "" {
					c.pass.Reportf(comment.Pos(), "%s needs a reason behind it", directive)
					continue
				}
				at := c.lineOf(comment.Pos())
				c.ignored[at] = true
				at.number++
				c.ignored[at] = true
			}
		}
	}
}

func (c *checker) lineOf(pos token.Pos) line {
	at := c.pass.Fset.Position(pos)
	return line{at.Filename, at.Line}
}

// report notes a finding of the current rule at node. A fix without edits is none.
func (c *checker) report(node ast.Node, fix analysis.SuggestedFix, format string, args ...any) {
	if c.ignored[c.lineOf(node.Pos())] {
		return
	}
	d := analysis.Diagnostic{
		Pos:      node.Pos(),
		End:      node.End(),
		Category: c.rule,
		Message:  fmt.Sprintf(format, args...),
	}
	if len(fix.TextEdits) > 0 {
		slices.SortFunc(fix.TextEdits, func(a, b analysis.TextEdit) int { return cmp.Compare(a.Pos, b.Pos) })
		d.SuggestedFixes = []analysis.SuggestedFix{fix}
	}
	c.found = append(c.found, d)
}

// reportFound reports what was found, in the order of the source, and each once.
func (c *checker) reportFound() {
	slices.SortStableFunc(c.found, func(a, b analysis.Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Pos, b.Pos), cmp.Compare(a.Category, b.Category))
	})
	c.found = slices.CompactFunc(c.found, func(a, b analysis.Diagnostic) bool { return a.Pos == b.Pos && a.Category == b.Category })
	for _, d := range c.found {
		c.pass.Report(d)
	}
}

var noFix analysis.SuggestedFix
