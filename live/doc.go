// Package live shows the scopes of a running program: as text, as JSON, and as a page
// that updates itself. It warns about what looks wrong, and says what to do about it.
//
// Two lines turn it on:
//
//	mux := http.NewServeMux()
//	live.Register(mux, server) // server is a *traigo.Scope
//
// The page is then at /debug/scopes/, next to the /debug/pprof/ of net/http/pprof; curl
// gets text. A program that opens and closes root scopes all the time uses a [Tracker],
// an observer that keeps a list of them. A [Handler] can be mounted at any path, also
// behind http.StripPrefix. Importing the package registers nothing.
//
// A [HandlerFunc] shows more than the scopes of this process, if a function can tell it:
// those of a tree of processes, for instance.
//
// # Security
//
// The handler only reads: it cancels and changes nothing. But names, errors and stacks
// may contain secrets, and a dump of the stacks stops the program for a moment. The
// handler does not authenticate its clients. Serve it on localhost or on an internal
// port, as you would serve pprof, or behind a handler that authenticates; never on a
// public address.
//
// All text is escaped, and the page loads nothing from other hosts. The handler refuses
// requests that a browser sends for a page of another site, as far as the browser marks
// them with Sec-Fetch-Site: browsers do so over HTTPS and for localhost, but not over
// plain HTTP to another host. Links from other sites to the page work.
//
// On a connection to the loopback interface the handler refuses requests whose Host header
// is neither localhost, or a name below it, nor an IP address. In an attack by DNS rebinding,
// the page of a malicious site makes the name of its own host resolve to 127.0.0.1, and would
// then read what is served there. A proxy on the same machine has to set Host to the address
// that it connects to, as httputil.ProxyRequest.SetURL does and nginx by default, or to
// connect by a Unix socket.
//
// At most 100 pages get a stream of changes at a time, and 20 of them from one client, as far
// as the address of the connection tells: behind a proxy all are one, on this machine too, and
// so are those in one network of IPv6 with 64 bits. Other pages ask every 2 s, and say so.
//
// # Queries
//
//	?format=text, json or html   this format, whatever the Accept header says
//	?path=server/conn            only the scopes and tasks with this path
//	?scope=17                    only the scope with this ID
//	?stacks=1                    text or JSON with the stack of each task
//	?stacks=force                the same, and however many goroutines there are
//	?all=1                       no lines are left out, however long the answer becomes
//	?full=1                      no lines are left out, and no siblings are folded
//
// Five or more siblings of one kind whose names differ only in numbers, also in hexadecimal
// serials and UUIDs, are folded into one line, which says how many are in which state, and
// where most of them wait:
//
//	server (open, 1m0s)
//	└─ • conn # [×187] (180 running, 5 canceling, 2 given up, 1.2s to 3.4s, 150 × IO wait at conn.go:30)
//
// They are folded whatever their states are, so that what is one line now is one line in the
// next answer. Below it, what is below all of them is folded in the same way. Where stacks are
// asked for, siblings are folded only if they have the same. A tree has at most 2,000 lines,
// and says where lines were left out. Scopes and tasks with warnings are left out last.
//
// Names, paths and errors are escaped as in a Go string literal: a tab is \t. Names are
// cut after 200 characters, paths and errors after 1,000.
//
// # JSON
//
// The answer is one object. Later releases may add keys; version changes when a key is
// removed or changes its meaning.
//
//	version   1
//	taken     when the snapshot was taken
//	looked    when the stacks were last looked at for waits, at, places and blocked
//	scopes, tasks, canceling    how many there are, without scopes that have closed;
//	                            canceling counts scopes and tasks
//	warnings  [{lint, level, count, since, atLeast, says, do, at: [up to five paths], details}].
//	          level is "warning", or "hint" if nothing may be wrong. atLeast: it may have
//	          begun before since. details, of blocked, maybe-blocked and limit-blocked, has a
//	          text for each in at
//	recheck   how many scopes and tasks may soon have a warning: ask again
//	cut       how many lines were left out
//	note      sentences about anything else that is missing
//	roots     [node]
//	places    [{waits, at, from, for, count, paths, names}]: tasks that wait at the same place, the
//	          most first, at most 50. from and for are those of the one that has waited longest; up to
//	          five paths, those of the ones that have waited longest, and five names
//	limiters  [{limit, inUse, holders, waiting, waiters}]: each Limiter of package capacity in
//	          which a caller has waited for 0.1 s, also of other roots, with up to five paths
//	          of holders and of waiters; at most 20
//	ended     [{path, opened, ended, err, canceled, count, first, weight, above}] of a Tracker: a
//	          kind of scopes that have failed, or of roots that have ended otherwise: then there
//	          is no err, or canceled says that it is only that of the parent. count is how many, first when the first of them ended,
//	          the rest is of the last. weight is how many tasks and scopes one of them has
//	          canceled, at most; above how many scopes above have failed because of it. First
//	          come failures, those with the greatest weight first, and of equals the latest
//	failedTotal                 how many scopes have failed since the Tracker was made, also those
//	                            that it has forgotten
//
// A node is a scope, a task, or several of them folded into one:
//
//	key       identifies the node in all answers, as long as it exists
//	kind      "scope" or "task"
//	id        unique in the process for a scope, in its scope for a task
//	scope     of a task: the ID of its scope
//	pid       of a scope: the process that it lives in; absent if it is this one
//	processes in how many processes those folded into this node are; absent if in one
//	name, path, state, cause, deadline, limit, waiting, unawaited, stack
//	          as in traigo.Snapshot and traigo.TaskSnapshot. A scope stays with the state
//	          "closed" as long as tasks that it has given up, or calls that were abandoned
//	          in it, still run
//	since     when the scope was opened, the task spawned, or the call abandoned
//	blocked   of a scope with a Limit: paths of up to five tasks that wait to spawn into it
//	holders   of a scope for whose Limit something waits: paths of up to five tasks that have a slot
//	waits, at what the task, or the body of the scope, waits for in the runtime's words, and
//	          the file and line of the topmost frame of the program's own code: "select",
//	          "sync.Mutex.Lock", "running", …; absent if it is younger than the last look
//	from, for since when each look has found it there, and for how many nanoseconds. It may have
//	          come before the first look, so texts say "≥ 10s". It may also have gone on between
//	          two looks and come back, of which looks see only a part: a mutex that another task
//	          was seen to get, and a wait that Go would count in minutes by then. Go counts from the
//	          first garbage collection in a wait, and a program that allocates little has few of
//	          them. Where it counts more, that is what is said here. From other processes only for
//	          is known
//	flags     what differs from the default: "master", "not awaited", "no bubble", "ready"
//	warnings  the names of the lints that found something here
//	count     how many are folded into this node; absent if it is a single one. id, path,
//	          pid, since and stack are those of the oldest, newest is the since of the
//	          youngest, deadline is the earliest, waiting is the sum, flags are those that
//	          all have, warnings those that any has, state is the one that most have, cause
//	          begins with how many have it, unless all do
//	states    of a folded node: how many are in each state, by its name
//	standing  of a folded node: [{waits, at, from, for, count}], at most five places where they wait,
//	          or what they wait for below them does; those with the most come first
//	members   of a folded node: [node], at most ten of those that are folded, with what is below
//	          them: those with warnings, given up or canceled, then the oldest, in the order in
//	          which they were spawned; fewer in a large answer
//	below     [node]: the tasks of a scope, then its scopes. A scope that was opened by
//	          a task is below that task
//	more      how many nodes directly below this one were left out
//
// # Cost
//
// The handler costs nothing until it is asked. An answer needs one snapshot, which locks
// each scope while it reads the list of its tasks. Snapshot and answer together take
// about 1 ms of one processor for 1,000 tasks, 0.2 s for 100,000 tasks, and 0.4 s for
// 100,000 scopes with a task each. However many clients ask, the handler takes at most
// four snapshots a second, and fewer if they take long, so that they use no more than a
// third of one processor; for streams alone it takes two a second, and no more than 2.5 %
// of one processor until they are 10 s apart. The snapshot of an answer is always taken
// after the request has arrived. A [SnapshotFunc] that is slow counts as if it used a
// processor.
//
// To say what each task waits for, the handler dumps the stacks, once for all roots, and the
// program stops for most of the time that this takes. It does so with a snapshot, so that it
// does not when nobody asks; at most once a second, and so seldom that it takes at most 2 %
// of the time: 12 ms for 1,000 goroutines, of which the program stops for 8 ms. Above 10,000
// goroutines it leaves out looks that are expected to take more than half a second, from what
// the last one has taken; at first that is above some 30,000 goroutines. A note in the answer
// says so, and what ?stacks=force would cost.
//
// Stacks in an answer need a dump too, at most one a second. Above 10,000 goroutines the
// handler refuses to, unless the query says ?stacks=force: a dump stops the program, for
// seconds if there are 100,000 goroutines.
//
// A [Tracker] is an observer. It adds about 0.4 µs to each task, 3 µs to each scope, and 10 µs
// to a scope that fails.
//
// # Lints
//
// A lint looks for one condition. It warns only if the condition has lasted for a while,
// so that states which pass by themselves are not reported. Where a snapshot does not say
// when a condition began, its time counts from the first snapshot in which the handler
// found it. Such a warning says "for at least". Conditions that can come and go, such as a Spawn
// that waits, must also be found in snapshots that are at most 30 s apart, or their time begins
// again. A hint is what may be all right.
//
//	ignored-cancel    a task still runs 10 s after it, or its scope, was canceled
//	straggler         at most 3 tasks delay the end of a scope that was canceled 2 s ago
//	given-up          a task still runs although its scope has given it up
//	abandoned-call    a call still runs 10 s after Blocking has stopped waiting for it
//	spawn-storm       10,000 tasks or scopes in one scope without a Limit
//	blocked           a task has waited for a minute for a mutex, at a nil channel, or to send one
//	                  value, as Go itself says
//	maybe-blocked     a hint: each look for 10 s has found a task waiting for a mutex, while no other
//	                  task was seen to get it, or at a nil channel. It may have gone on and come back
//	limit-blocked     spawns wait for a Limit, which has accepted no task for 10 s
//	never-awaited     a task of Async has failed, and nobody has awaited it for 10 s
//	unfinalized-forks a scope has waited for 10 s only for forks that are open and empty
//	finalizing-long   a scope that was open for 10 s has been finalizing for a minute
//	deadline-passed   a deadline passed 1 s ago, and nothing was canceled
//	queued            a task has not started 1 s after it was spawned
//	unnamed           50 tasks or scopes in one scope have default names like f.func1
package live

// The files of this package, in reading order:
//
//	handler.go   Handler and Register; from a request to an answer
//	door.go      which requests are refused; how many streams there may be
//	snapshot.go  all roots at one moment, and how often that is taken
//	source.go    SnapshotFunc: snapshots that a function takes
//	tree.go      a traigo.Snapshot as nodes to be shown
//	places.go    looks: what each task waits for, and where
//	lints.go     the table of lints, and what is remembered between snapshots
//	shorten.go   folding siblings of like names, and leaving out lines
//	text.go      the answer as text; escaping
//	stacks.go    dumps of stacks
//	events.go    the stream of server-sent events
//	page.go      the files of the page
//	tracker.go   Tracker
//	endings.go   what a Tracker keeps of scopes that have ended
