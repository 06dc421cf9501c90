// Package supervise runs functions that are meant to keep running, or to succeed in the
// end. It is built on the scopes of package traigo.
//
//	Restart       makes a task function that runs another one again when it has failed
//	Retry         calls a function again until it succeeds, and returns its result
//	Every         makes a task function that calls another one at regular intervals
//	Run           runs tasks whose failures are all reported, and cancel no other task
//	WithServices  runs services that are stopped after the tasks that need them
//
// They can be combined: a service may be a function made by [Restart], and a sibling
// may call [WithServices].
//
// The names come from other systems. The limit of restarts is the intensity of Erlang's
// supervisors, the restart policies have the names that Kubernetes gives them, siblings
// behave as the children of Kotlin's supervisorScope, and services do what Trio's issue
// 1521 proposes. The delays between restarts come from
// github.com/cenkalti/backoff/v5, and each of its policies can be used.
package supervise
