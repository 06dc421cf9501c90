// Package traigotest helps to test code that uses scopes.
//
// [Run] runs the body of a test in a scope. Tasks that fail, panic, do not end,
// or call t.FailNow fail that test, by their path and with their stacks, and no
// other. A [Sequence] makes goroutines do things in a fixed order.
//
// Both work inside testing/synctest bubbles and outside.
package traigotest
