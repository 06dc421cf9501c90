// Package record writes down what a program's scopes do, while they do it: JSON lines
// that outlive a crash, and that [Read] puts together again.
//
//	rec, err := record.Create("run.jsonl")
//	defer rec.Close()
//	err = traigo.Run(ctx, body, traigo.Observe(rec))
//
// Where Close is forgotten the log has no end line, and at most the last 100 ms are
// missing; the goroutine of the recorder stays. In a test in a synctest bubble the
// recorder has to be closed, as everything there has to end; and it is for that bubble
// alone, while one from outside may observe in bubbles too, with the times of another clock.
//
// # What survives what
//
// A [Recorder] gathers lines in memory, and hands them to the operating system
//
//   - at least every 100 ms,
//   - on every failure (of a task, or of a scope at its close) and every cancellation
//     other than the normal end of a scope, and on the close of each scope that has no
//     ancestor under its observation: before [Recorder.Observe] returns, so that the
//     program goes on only when that much is safe. (It waits for that at most 100 ms: 50
//     for each of two writes, and not at all while a writer is known to be stuck.)
//
// What has been handed over survives every end of the process: a panic, a fatal error
// of the runtime, os.Exit, SIGTERM, SIGKILL. What has not is gone with it. With
// [Durable] every single event is handed over before Observe returns. Neither is an
// fsync: a power failure may take what the operating system has not put on disk.
//
//	                      default                             Durable
//	panic, fatal error    up to the last flush, see above     everything
//	os.Exit, any signal   up to the last flush                everything
//	disk full             what fits, and how much does not    what fits, and how much does not
//	writer too slow       what fits, and how much does not    everything: the program waits
//	power failure         what is on disk                     what is on disk
//
// # What is lost is told
//
// Memory is bounded ([Buffer]); the program never waits for room in it. What finds no
// room, and what cannot be written, is counted. As soon as writing works again the log
// says how many lines are missing, and what is alive after the gap, so that nothing
// looks unfinished that has ended. If it never works again, a regular file of [Create]
// gives up some lines at its end for a line that says so. The first loss is logged, once,
// as a warning to slog.Default, and [Recorder.Close] returns an error that says how many
// lines are missing and why.
//
// # Costs
//
// An event without an error costs 0.1 to 0.2 µs and allocates nothing (but for a name of
// more than some 180 bytes); with [Durable] 1 to 2 µs, for one write(2). An urgent one
// costs the way to the writer and back, some 10 µs. Beside the buffer the recorder
// remembers each scope and task that is alive: some 100 bytes for a scope and 25 for a
// task, a hundredth of what a goroutine needs.
//
// The format is described in docs/log-format.md. Package record/history reads it, also
// where traigo is not linked.
package record
