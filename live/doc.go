// Package live shows the scopes of a running program: the tree as it is now, as text,
// as JSON, and as a page that updates itself. It says what looks wrong, and what to do
// about it.
//
// Two lines turn it on:
//
//	mux := http.NewServeMux()
//	live.Register(mux, server) // server is a *traigo.Scope
//
// The page is then at /debug/scopes/, next to where net/http/pprof would be; curl gets
// text. Where roots come and go there is a [Tracker], an observer that knows them. A
// [Handler] can be mounted anywhere, behind http.StripPrefix too. Importing the package
// registers nothing.
//
// # Who may see it
//
// The handler only reads: it cancels nothing and changes nothing. But names, errors and
// stacks may hold secrets, and a dump of stacks stops the program for a moment. It
// knows no users and no passwords: serve it on localhost or an internal port, as
// pprof, or behind a handler that asks who is there. Never on the address that the world
// sees. What is shown is escaped, the page loads nothing from elsewhere, and requests
// that a browser makes for another site's page are refused, if it says so: browsers do over
// HTTPS and for localhost, not over HTTP to another host. Host is not looked at: where
// a browser may be lured to a name that leads to localhost, check it in front.
//
// # What can be asked
//
//	?format=text, json or html   whatever the Accept header says
//	?path=server/conn            only the scopes, or the tasks, with this path
//	?scope=17                    only the scope with this ID
//	?stacks=1                    text and JSON with the stack of each task
//	?all=1                       nothing is cut off, however long it gets
//	?full=1                      nothing is folded nor cut off
//
// Equal siblings, five or more, are one line, as in
//
//   - worker [×5,000] (running, 1.2s to 3.4s)
//
// They are equal if what is said of them is, and what is below them is of the same
// kinds. An answer has at most 2,000 lines; what is left out is said where it is. What
// there is a warning about is left out last.
//
// Names are shown as in a Go string, without the quotes: a tab is \t. Long ones are cut.
// That is so of paths and errors too.
//
// # JSON
//
// The answer is one object. Keys may be added; version changes if one changes its
// meaning or goes.
//
//	version   1
//	taken     when the snapshot was taken
//	scopes, tasks, canceling    how many there are: canceling ones are scopes and tasks
//	warnings  [{lint, level, count, since, says, do, at: [paths of up to five]}]
//	recheck   how many suspicions are too young to be warnings: ask again
//	cut       how many lines are left out
//	note      what else is missing, in words
//	roots     [node]
//	ended     [{what, path, opened, ended, err}], of a Tracker, the latest first
//
// A node is a scope or a task:
//
//	key       the same in every answer, as long as the node lives
//	kind      "scope" or "task"
//	id        unique in the process for a scope, in its scope for a task
//	scope     of a task: the id of that scope
//	name, path, state, cause, deadline, limit, waiting, unawaited, stack
//	          as in traigo.Snapshot and traigo.TaskSnapshot
//	since     when it was opened or spawned, or the call abandoned
//	flags     what is not the default: "master", "not awaited", "no bubble", "ready"
//	warnings  the lints that name it
//	count     how many are folded here; absent if it is one. Then id, path and stack are
//	          those of the oldest, newest is the since of the youngest, deadline the
//	          first to come, and waiting the sum
//	below     [node]: the tasks of a scope, then its scopes. A scope that a task has
//	          opened is below that task
//	more      how many of those below are left out
//
// # What it costs
//
// Nothing until somebody asks. An answer takes one snapshot, during which each scope is
// locked for as long as its list of tasks is read. With all that follows that is about
// 1 ms of one processor for 1,000 tasks, 0.2 s for 100,000, and twice that for 100,000
// scopes with a task each. However many clients there are, four snapshots a second are
// taken at most, and fewer if one takes long, so that they use no more than a third of
// one processor; an answer is never older than its question.
//
// Dumps of stacks are taken at most once a second, and not with more than 10,000
// goroutines, unless ?stacks=force is given: with 100,000 one stops the program for
// seconds.
//
// A [Tracker] is an observer, and costs each task its events: some 0.4 µs, and a scope
// some 3 µs.
//
// # Lints
//
// A warning is about something that is so now, and has been for long enough not to be a
// moment in between; where a snapshot does not say for how long, it counts from when
// the handler first saw it. Of what comes and goes, such as a spawn that waits, looks
// that are more than 30 s apart prove nothing. These are looked for:
//
//	ignored-cancel    a task runs 10 s after it, or its scope, was canceled
//	straggler         at most 3 tasks hold up a scope that was canceled 2 s ago
//	given-up          a task runs on that its scope has given up
//	abandoned-call    a call that Blocking stopped waiting for runs 10 s later
//	spawn-storm       10,000 tasks or scopes in one scope without a Limit
//	limit-blocked     spawns wait for a Limit, and for 10 s no task has come or gone
//	never-awaited     a task of Async has failed, and nobody has awaited it for 10 s
//	unfinalized-forks a scope waits for 10 s only for forks that are open and empty
//	finalizing-long   a scope that was open for 10 s is finalizing for a minute
//	deadline-passed   a deadline passed 1 s ago, and nothing was canceled
//	queued            a task has not started 1 s after it was spawned
//	unnamed           50 tasks or scopes in one scope have default names that say nothing
package live
