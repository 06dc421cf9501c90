// Package policy holds the rules of this repository, as tests: who may import
// whom, which names the API has, that what the documentation shows is compiled,
// and where things are. Its tests run in the root of the repository.
package policy
