// Package supervise runs what is meant to keep running, on the scopes of package
// traigo.
//
//	Restart       a task function that runs another again when it has failed
//	Run           tasks of which each may fail alone; every failure is reported
//	WithServices  services that end after the tasks that need them, last started first
//
// They compose: a service may be a function that [Restart] has made, a sibling
// may open a block with services of its own.
//
// The words are those of the field: the limit of restarts is Erlang's intensity,
// the policies have the names that Kubernetes gives them, siblings that fail alone
// are the children of Kotlin's supervisorScope, and services that outlive the
// rest are what Trio's issue 1521 asks for. The delays between restarts come from
// github.com/cenkalti/backoff/v5, and any of its policies may be used.
package supervise
