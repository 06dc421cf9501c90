// Package traigotest helps to test code that uses scopes.
//
// [Run] runs the body of a test in a scope. It fails the test, with paths and
// stacks, if a task fails, panics, or does not end; a task may call t.FailNow. A
// [Sequence] makes goroutines take steps in a fixed order.
//
// Both work inside and outside of testing/synctest bubbles.
package traigotest
