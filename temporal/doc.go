// Package temporal makes scopes whose tasks run on many machines.
package temporal
