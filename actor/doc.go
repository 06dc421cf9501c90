// Package actor makes a tree of processes of a scope.
package actor
