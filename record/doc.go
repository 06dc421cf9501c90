// Package record writes what the scopes and tasks of a program do to a log, while they do
// it. The log is a file of JSON lines that survives a crash of the program. [Read] reads
// it back.
//
//	rec, err := record.Create("run.jsonl")
//	defer rec.Close()
//	err = traigo.Run(ctx, body, traigo.Observe(rec))
//
// If Close is not called, the log has no last line, up to 100 ms of events are missing at
// its end, and the goroutine of the recorder is leaked. A recorder that is created in a
// synctest bubble must be closed in it, and must observe scopes of that bubble only. A
// recorder created outside may observe scopes in bubbles; its log then mixes their times
// with real time.
//
// # What survives a crash
//
// A [Recorder] collects lines in memory and passes them to the operating system
//
//   - at least every 100 ms, and
//   - when a task or scope fails, when a scope is canceled for any reason but its normal
//     end, and when a scope closes that has no observed ancestor. [Recorder.Observe]
//     returns when those lines have been passed on, and so delays the program. It waits at
//     most 100 ms (50 ms for each of two writes), and does not wait while a previous write
//     is known to be blocked.
//
// Lines that the operating system has received survive any end of the process: a panic, a
// fatal error of the runtime, os.Exit, SIGTERM, SIGKILL. Lines still in memory are lost.
// With [Durable] every event is passed on before Observe returns. The recorder never calls
// fsync, so a power failure can lose what is not on disk yet.
//
//	                      default                            Durable
//	panic, fatal error    lines up to the last write         all lines
//	os.Exit, any signal   lines up to the last write         all lines
//	disk full             lines that fit, count of the rest  lines that fit, count of the rest
//	writer too slow       lines that fit, count of the rest  all lines: the program waits
//	power failure         lines on disk                      lines on disk
//
// # While nothing happens
//
// The log of a program that hangs and is killed says how long it lived, since when nothing
// moved, and what its tasks waited for. Each second in which nothing else is written a
// recorder writes a heartbeat, which in a file replaces the one before it. When nothing
// has moved for 10 s it writes a census of stacks (see [Census]), and with [OnQuit] also at
// SIGQUIT. In a synctest bubble the heartbeats stop when nothing has moved for a minute,
// until the next event, so that a deadlock is detected there.
//
// # Lost lines are reported
//
// The memory of a recorder is bounded (see [Buffer]), and without Durable the program never
// waits for space in it. A line that finds no space, or cannot be written, is counted as
// lost. When writing succeeds again, the log gets a line with the number of lost lines,
// followed by a list of the scopes and tasks that are alive, so that a reader does not
// take those that ended in the gap for unfinished. If writing never succeeds again, the
// last lines of a regular file opened by [Create] are overwritten to make space for that
// number. The first loss is logged once to slog.Default at WARN, and [Recorder.Close]
// returns an error with the number of lost lines and the cause.
//
// # Cost
//
// An event without an error takes 0.1 to 0.2 µs and does not allocate, unless a name is
// longer than about 180 bytes; with [Durable] it takes 1 to 2 µs, for one write(2). An
// event that is written before Observe returns takes about 10 µs. In addition to the
// buffer, the recorder keeps about 100 bytes for each scope and 25 bytes for each task
// that is alive. With [Sites] it keeps about 60 bytes more for each task, and the
// beginning of a task or scope takes about half a microsecond more.
//
// # Trees of processes
//
// Each process of a tree records itself, into a file of its own: only so does a recording
// survive each end of each process. With [StartedBy] the first line of a log says which
// scope and task of which recording have started the process; [RunOf] names the recording of
// a scope, for whoever starts one. [ReadDir] puts the logs of a directory together.
//
// The format is described in docs/log-format.md. Package record/history reads logs
// without linking traigo; package record/export converts them to other formats.
package record
