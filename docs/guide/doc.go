// Package guide has the tests of the pages in this directory. Each page has a file of tests
// of the same name: fan-out.md has fan_out_test.go.
package guide
