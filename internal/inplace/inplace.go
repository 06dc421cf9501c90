// Package inplace lets package serve run a task on the goroutine that asks for it. The handler
// of a request has to run on a goroutine of package net/http: to hand it to another one and
// to wait for it takes a third of the time of a short request. Package traigo provides the
// function; its types are not named here, since traigo imports this package.
package inplace

import "context"

// A Task is what a task is made from. It has the flags Bubble(false) and Awaited(true).
type Task interface {
	Name() string              // called when the name is needed, on any goroutine
	Run(context.Context) error // the function; must not panic
	Values() context.Context   // as for traigo.Values
}

// A Func runs t as a task of a *traigo.Scope, on this goroutine, and reports whether the scope
// has accepted it.
type Func func(scope any, t Task) (ok bool)

var provided Func

// Provide is called once, by package traigo, while it is initialized.
func Provide(run Func) struct{} {
	provided = run
	return struct{}{}
}

// Run calls the function that package traigo has provided.
func Run(scope any, t Task) (ok bool) { return provided(scope, t) }
