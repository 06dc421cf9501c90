// Command victim is what the tests of package proc start when they need a program of their own:
// a parent that is killed, one that does not call Serve, a worker that is lost, a grandchild.
//
// Its processes end by themselves after some minutes, whatever a test leaves behind.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// An Order says what a job is to do.
type Order struct {
	Name     string
	Children int    // processes that it starts in its group, which ignore what can be ignored
	Noise    bool   // it writes to standard error all the time
	Depth    int    // levels of workers below this one
	Breadth  int    // how many workers each of them has
	Do       string // at last: one of the cases in act
}

// A Report is the result of a job.
type Report struct {
	Pid, Parent, Group int
	Args               []string
	Text               string
}

// A Plan says what the parent is to do.
type Plan struct {
	Jobs      []Order // called at the same time, each in a task
	Limit     int
	KillAfter time.Duration
	Grace     time.Duration
	Path      string   // of the workers' program
	Env       []string // of the workers, beside that of the parent
	Lone      bool     // there is no pool
	Locked    bool     // each call is made by a thread that ends with it
	Launch    bool     // children are launched, not called
	Interrupt bool     // the calls end at SIGINT and SIGTERM
	Init      string   // what the workers do first: one of the cases in initial
}

// The first thing that runs here, after package proc: a worker whose parent is killed while
// the program's packages are initialized.
var _ = func() bool {
	time.AfterFunc(4*time.Minute, func() { os.Exit(99) })
	if len(os.Args) > 1 {
		return true
	}
	switch os.Getenv("VICTIM_INIT") {
	case "block":
		say("init %d", os.Getpid())
		return forever()
	case "panic":
		panic("in init")
	case "start": // what is inherited by a process that a package starts before main
		out, err := exec.Command("/bin/sh", "-c", "tr '\\0' ' ' </proc/$$/environ; ls -l /proc/$$/fd").Output()
		say("inherited %q %v", out, err)
	}
	return true
}()

var job *proc.Function[Order, Report] // calls itself, so it is no initialized variable

func init() { job = proc.Func("job", do) }

var initial = proc.Func("initial", func(ctx context.Context, what string) (int, error) {
	switch what {
	case "block":
		say("initial %d", os.Getpid())
		forever()
	case "stay": // when the worker is to leave
		traigo.Current(ctx).Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			say("leaving %d", os.Getpid())
			forever()
			return nil
		})
	}
	return 0, nil
})

var spinning = proc.Source("spinning", func(ctx context.Context, dies bool) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		yield(os.Getpid(), nil)
		if dies {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		_, _ = act(ctx, Order{Do: "spin"})
	}
})

var extra = func() *proc.Function[int, int] {
	if os.Getenv("VICTIM_EXTRA") == "" {
		return nil
	}
	return proc.Func("extra", func(context.Context, int) (int, error) { return 1, nil })
}()

var _ = func() bool {
	proc.Handle("reader", func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			var o Order
			_ = json.Unmarshal([]byte(line), &o)
			_, _ = do(context.Background(), o)
		}
	})
	return true
}()

func main() {
	lost := os.Getenv("VICTIM_LOST")
	if lost == "" {
		proc.Serve()
	}
	if len(os.Args) == 1 {
		beLost(lost)
		return
	}
	switch os.Args[1] {
	case "run":
		var p Plan
		if err := json.Unmarshal([]byte(os.Args[2]), &p); err != nil {
			log.Fatal(err)
		}
		run(p)
	case "unserved":
		unserved()
	case "kills":
		kills()
	case "threads":
		threads()
	case "plain":
		plain()
	case "grandchild":
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGQUIT)
		_, _ = os.Stderr.WriteString("ready\n")
		forever()
	default:
		log.Fatalf("unknown mode %q", os.Args[1])
	}
}

// say writes a line to standard output, which the parent and its workers share.
func say(format string, args ...any) { _, _ = fmt.Fprintf(os.Stdout, format+"\n", args...) }

func forever() bool {
	for {
		time.Sleep(time.Hour)
	}
}

// beLost is what a process does that has no argument, and so should have been a worker.
func beLost(how string) {
	say("main %d", os.Getpid())
	how, code, _ := strings.Cut(how, " ")
	switch how {
	case "call":
		_, err := job.Run(context.Background(), Order{Do: "return"})
		say("lost %v", errors.Is(err, proc.ErrNotServed))
		forever()
	case "block":
		forever()
	}
	n, _ := strconv.Atoi(code)
	os.Exit(n)
}

// do is the function of a job.
func do(ctx context.Context, o Order) (Report, error) {
	for range o.Children {
		if err := startGrandchild(); err != nil {
			return Report{}, err
		}
	}
	if o.Noise {
		go func() {
			for {
				_, _ = os.Stderr.WriteString("noise\n")
			}
		}()
	}
	if o.Depth > 0 {
		s, below := traigo.Current(ctx), o
		below.Depth--
		proc.Open(s, proc.Limit(o.Breadth), proc.KillAfter(time.Hour), proc.Grace(time.Hour))
		for range o.Breadth {
			job.Async(s, below)
		}
	}
	say("up %d %s", os.Getpid(), o.Name)
	return act(ctx, o)
}

func act(ctx context.Context, o Order) (Report, error) {
	r := Report{Pid: os.Getpid(), Parent: os.Getppid(), Group: syscall.Getpgrp(), Args: os.Args}
	switch do, arg, _ := strings.Cut(o.Do, " "); do {
	case "return":
	case "wait": // and answer as if nothing had happened
		<-ctx.Done()
		say("heard %s %v", o.Name, context.Cause(ctx))
	case "nap":
		time.Sleep(50 * time.Millisecond)
	case "deaf":
		forever()
	case "spin":
		for i := 0; ; i++ {
			if i < 0 {
				break
			}
		}
	case "lines": // on standard error
		n, _ := strconv.Atoi(arg)
		for i := range n {
			_, _ = fmt.Fprintf(os.Stderr, "%s %d %s\n", o.Name, i, strings.Repeat("x", 60))
		}
	case "plain":
		out, err := exec.Command("/proc/self/exe", "plain").Output()
		r.Text = string(out)
		return r, err
	default:
		return r, fmt.Errorf("unknown order %q", o.Do)
	}
	return r, nil
}

// startGrandchild starts a process of this program in the group, and waits until it runs.
func startGrandchild() error {
	cmd := exec.Command("/proc/self/exe", "grandchild")
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_, err = bufio.NewReader(out).ReadString('\n')
	return err
}

// run is the parent.
func run(p Plan) {
	ctx := context.Background()
	if p.Interrupt {
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
	}
	end, over := make(chan struct{}), make(chan struct{})
	again := make(chan Order)
	go obey(end, over, again)
	go func() {
		defer close(over)
		var pool *proc.Pool
		err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			if !p.Lone {
				pool = proc.Open(s, p.options()...)
			}
			var calls sync.WaitGroup
			say("begin")
			for _, o := range p.Jobs {
				calls.Go(func() { p.call(ctx, o) })
			}
			calls.Wait()
			say("idle")
			for {
				select {
				case o := <-again:
					p.call(ctx, o)
				case <-end:
					return nil
				case <-ctx.Done():
					return nil
				}
			}
		})
		if pool != nil {
			stats := pool.Stats()
			say("stats started=%d broken=%d killed=%d calls=%d", stats.Started, stats.Broken, stats.Killed, stats.Calls)
		}
		say("end %v", err)
	}()
	<-over
}

func (p Plan) options() []proc.Option {
	opts := []proc.Option{proc.KillAfter(p.KillAfter), proc.Grace(p.Grace), proc.Command(func(cmd *exec.Cmd) {
		if p.Path != "" {
			cmd.Path = p.Path
		}
		cmd.Env = append(cmd.Environ(), p.Env...)
	})}
	if p.Init != "" {
		opts = append(opts, proc.Init(initial, p.Init))
	}
	if p.Limit > 0 {
		opts = append(opts, proc.Limit(p.Limit))
	}
	return opts
}

// call makes a call and tells of its result.
func (p Plan) call(ctx context.Context, o Order) {
	if p.Launch {
		child, err := proc.Launch(context.Background(), "reader", p.options()...)
		if err != nil {
			say("failed %s %q", o.Name, err)
			return
		}
		text, _ := json.Marshal(o)
		_, _ = child.Conn().Write(append(text, '\n'))
		<-child.Exited()
		return
	}
	if o.Do == "extra" {
		_, err := extra.Run(ctx, 1)
		say("extra %q notserved=%v", fmt.Sprint(err), errors.Is(err, proc.ErrNotServed))
		return
	}
	var r Report
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if p.Locked {
			runtime.LockOSThread()
		}
		r, err = job.Run(ctx, o)
	}()
	<-done
	if err != nil {
		say("failed %s %q notserved=%v", o.Name, err, errors.Is(err, proc.ErrNotServed))
		return
	}
	text, _ := json.Marshal(r)
	say("done %s %s", o.Name, text)
}

// obey does what is read from standard input.
func obey(end, over chan<- struct{}, again chan<- Order) {
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		word, arg, _ := strings.Cut(line, " ")
		switch word {
		case "exit":
			code, _ := strconv.Atoi(arg)
			os.Exit(code)
		case "panic":
			panic("on purpose")
		case "fatal":
			log.Fatal("on purpose")
		case "segv":
			_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		case "return":
			over <- struct{}{}
		case "exec":
			log.Fatal(syscall.Exec("/bin/sleep", []string{"sleep", "240"}, os.Environ()))
		case "end":
			end <- struct{}{}
		case "extra": // which the workers may not have
			again <- Order{Do: "extra"}
		case "again":
			var o Order
			if err := json.Unmarshal([]byte(arg), &o); err != nil {
				log.Fatal(err)
			}
			again <- o
		}
	}
}

// unserved makes calls where Serve was not called, and prints a line about each.
func unserved() {
	commands := 0
	opt := proc.Command(func(*exec.Cmd) { commands++ })
	tell := func(what string, err error) { say("%s notserved=%v %q", what, errors.Is(err, proc.ErrNotServed), err) }

	_, err := job.Run(context.Background(), Order{})
	tell("lone", err)
	for _, err := range spinning.Run(context.Background(), true) {
		tell("source", err)
	}
	child, err := proc.Launch(context.Background(), "reader", opt)
	tell("launch", err)
	var stats proc.Stats
	_ = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		pool := proc.Open(s, opt)
		_, err := job.Run(ctx, Order{})
		tell("pool", err)
		_, err = job.Async(s, Order{}).Await(ctx)
		tell("async", err)
		stats = pool.Stats()
		return nil
	})
	say("started commands=%d workers=%d child=%v", commands, stats.Started, child != nil)
}

// plain says how this process sees itself: as one that was started by hand.
func plain() {
	var stat syscall.Stat_t
	_ = syscall.Fstat(3, &stat)
	flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, 3, syscall.F_GETFD, 0)
	r, err := job.Run(context.Background(), Order{Do: "return"})
	say("plain args=%q fd3=%d closed=%v ours=%v call=%v", os.Args[1:], stat.Ino, flags&syscall.FD_CLOEXEC != 0, r.Parent == os.Getpid(), err)
}

// Counts is what a process has.
type Counts struct{ Files, Goroutines, Threads, Children int }

func count() (c Counts) {
	files, _ := os.ReadDir("/proc/self/fd")
	c.Files, c.Goroutines = len(files), runtime.NumGoroutine()
	tasks, _ := os.ReadDir("/proc/self/task")
	c.Threads = len(tasks)
	for _, task := range tasks { // zombies are children too
		text, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		c.Children += len(strings.Fields(string(text)))
	}
	return c
}

func tellCounts(what string, c Counts) {
	text, _ := json.Marshal(c)
	say("%s %s", what, text)
}

// kills has workers killed, os.Args[2] of them, and tells what is there before and after.
func kills() {
	n, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	cause := errors.New("killed on purpose")
	session := func(n int) {
		ended := 0
		err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
			pool := proc.Open(s, proc.KillAfter(0), proc.Limit(4))
			var mu sync.Mutex
			inner := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				for i := range n {
					s.Spawn(func(ctx context.Context) error {
						err := killOne(ctx, i, cause)
						mu.Lock()
						defer mu.Unlock()
						var broken *proc.BrokenWorkerError
						if errors.Is(err, cause) || errors.As(err, &broken) && broken.State != nil {
							ended++
						} else {
							say("wrong %v", err)
						}
						return nil
					})
				}
				return nil
			}, traigo.Limit(4))
			stats := pool.Stats()
			say("stats busy=%d idle=%d workers=%d", stats.Busy, stats.Idle, len(stats.Workers))
			return inner
		})
		say("ended %d %v", ended, err)
	}
	session(8)
	before := settled(Counts{})
	tellCounts("before", before)
	session(n)
	tellCounts("after", settled(before))
}

// killOne starts a worker that spins, and has it killed: while it runs, or while it starts,
// or by itself.
func killOne(ctx context.Context, i int, cause error) (last error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if i%3 == 1 {
		time.AfterFunc(time.Duration(i%97)*200*time.Microsecond, func() { cancel(cause) })
	}
	for _, err := range spinning.Run(ctx, i%3 == 2) {
		if last = err; err == nil && i%3 == 0 {
			cancel(cause)
		}
	}
	return last
}

// settled returns the counts when they are not above what is given, or do not change any more.
func settled(c Counts) Counts {
	var last Counts
	for same := 0; same < 100; same++ {
		now := count()
		if now.Files <= c.Files && now.Goroutines <= c.Goroutines && now.Children == 0 {
			return now
		}
		if now != last {
			same, last = 0, now
		}
		time.Sleep(10 * time.Millisecond)
	}
	return last
}

// threads starts workers, one after the other, all of which have a job, and tells the threads.
func threads() {
	n, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	err = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		proc.Open(s, proc.KillAfter(0), proc.Limit(n), proc.Grace(0))
		for i := range n {
			started := make(chan struct{})
			s.Spawn(func(context.Context) error {
				for _, err := range waiting.Run(ctx, i) {
					if err == nil {
						close(started)
					}
				}
				return nil
			})
			<-started
			if i == n/4 {
				tellCounts("before", count())
			}
		}
		tellCounts("after", count())
		return nil
	})
	say("end %v", err)
}

// waiting yields an item and waits.
var waiting = proc.Source("waiting", func(ctx context.Context, i int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		yield(i, nil)
		<-ctx.Done()
	}
})
