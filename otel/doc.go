// Package oteltraigo gives OpenTelemetry spans and metrics for scopes and tasks.
//
//	telemetry := oteltraigo.New()
//	err := traigo.Run(ctx, serve, telemetry.Options(traigo.Name("server"))...)
//
// The options are for the outermost scope; all scopes below inherit them. The package is
// in the directory otel, but is not named otel: a main function that sets up OpenTelemetry
// imports go.opentelemetry.io/otel as well. The name follows those of otelhttp and otelgrpc.
//
// # Spans
//
//	traigo                           OpenTelemetry
//	a task                           a span, from the call of its function until the task has ended
//	Run                              a span, from the call of the body until the scope is closed
//	New, Fork                        no span; their tasks and Runs have the path in traigo.scope.path
//	the context of a task or body    has its span: what is started with it is a child
//	the span outside of Run          the parent of the span of Run
//	the span of Run                  the parent of the spans of its tasks, and of those of its forks
//	Values(ctx) with another span    the parent of the span of that task, in place of that of Run
//	an error that is a failure       the status Error, an event "exception", the attribute error.type
//	a panic, runtime.Goexit          the same, for a panic with exception.stacktrace
//	a cancellation                   an event "traigo.canceled"; without a failure no status
//	the task that caused it          a link from each span that was canceled for it
//	ready of Start, Blocking         the events "traigo.ready", "traigo.abandoned"
//	a task that is given up          its span ends then, with the status Error
//
// A join, such as Map, is a Run with its calls as tasks. In a server, which runs as long as
// the program, the span of the outermost Run is best left out, and so are those around the
// requests of package serve: the example of [WithFilter] shows how.
//
// Whether the error of a task is a failure is what [traigo.Task.Failed] says. The status
// of a Run is that of its outcome; if it has ended because its parent was canceled, and
// for no other reason, that is no failure. A span for which nothing was said has the
// status Unset, as is the convention. The event "traigo.canceled" has the time at which the
// scope was canceled; for a task that was canceled alone, that of its end.
//
// # Attributes
//
//	traigo.scope.path                    of each span: the names of the scopes from the root down
//	traigo.scope.id                      of the span of a Run
//	traigo.task.name, traigo.task.id     of the span of a task
//	traigo.task.bubble                   false, if its failure does not cancel the scope
//	traigo.task.master                   true, if its end cancels the scope
//	traigo.task.awaited                  false, if the scope does not wait for it
//	traigo.outcome                       "failed", "timeout", "panicked", "canceled" or "given_up"; not there if
//	                                     the function has returned nil, and "ok" in metrics
//	traigo.cancel.kind                   of a scope that was not simply complete, and of the
//	                                     event "traigo.canceled": a [traigo.CancelKind]
//	traigo.cancel.reason                 of that event: the cause as text
//	traigo.cancel.scope                  of that event: the path of the scope in which it began
//	traigo.cancel.task                   of that event, and of the link: the path of the task, if one was the reason
//
// Names of spans are to have few values, and names of tasks are often made in a loop. So a
// number at the end is not part of the name of the span: "conn 17", "conn#17", "conn-17"
// and "conn[17]" are all "conn". See [WithSpanName] for names with other variable parts. A
// sampler sees the name and the parent, and no attributes: what is not sampled has none.
//
// # Metrics
//
//	traigo.task.duration    histogram in s   of tasks that have ended, by traigo.outcome and error.type
//	traigo.scope.duration   histogram in s   of scopes that are closed, by traigo.outcome, traigo.cancel.kind and error.type
//	traigo.task.live        {task}           tasks that are running
//	traigo.scope.live       {scope}          scopes that are not closed
//	traigo.task.oldest      s                the age of the task that has been running for longest
//
// The count of a histogram is the number of tasks or scopes that have ended in this way, so
// there are no counters besides. By default no attribute has a name or path: see
// [WithNames]. Where the span of a duration is sampled, the measurement is made with its
// context, so that the SDK can store it as an exemplar. A task that was refused has no
// event, and is not counted.
//
// # Cost
//
// Per task, measured on two cores in one run; the spans are dropped at their end:
//
//	                                       time      allocations
//	nothing                                0.2 µs    1
//	a Wrapper and an Observer, both empty  0.6 µs    3
//	a span made by hand in the function    1.3 µs    4
//	the same, with these attributes        2.0 µs    6
//	spans                                  3.3 µs    9
//	spans and metrics                      3.7 µs    9
//	not sampled, made by hand              0.7 µs    3
//	not sampled                            1.7 µs    6
//
// A scope without the options pays nothing. To collect the metrics of what is live takes
// about 1.5 ms for 100,000 tasks. Memory is used for what is running and, in each scope
// that is not canceled, for at most 32 tasks that have failed: one of them may be about to
// cancel it, and what is canceled is to have a link to its span.
package oteltraigo
