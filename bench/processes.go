package bench

import (
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"golang.org/x/sync/errgroup"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// Calls of functions in other processes: by package proc, by hand with os/exec, pipes and one
// stream of gob, and by hashicorp/go-plugin. A worker is this program, started once more.

// workerVariable says, in a worker that is not package proc's, whose it is.
const workerVariable = "TRAIGO_BENCH_WORKER"

// Serve must be the first statement of a program that measures the rows of Processes.
func Serve() {
	proc.Serve()
	switch os.Getenv(workerVariable) {
	case "hand":
		serveByHand(os.Stdin, os.Stdout)
		os.Exit(0)
	case "go-plugin":
		plugin.Serve(&plugin.ServeConfig{HandshakeConfig: handshake, Plugins: plugins})
		os.Exit(0)
	}
}

// A Parcel is the argument of a call. It is exported for net/rpc.
type Parcel struct {
	Number int
	Bytes  []byte
}

func open(p Parcel) int { return p.Number + len(p.Bytes) }

var (
	opening  = proc.Func("open", func(_ context.Context, p Parcel) (int, error) { return open(p), nil })
	spinning = proc.Func("spin", func(context.Context, struct{}) (int, error) {
		for { //nolint:staticcheck // a job that only SIGKILL ends
		}
	})
)

// family starts two workers that do the same, so many generations deep, and waits. Each
// process creates a file that is named after it in dir.
var family *proc.Function[generation, int]

type generation struct {
	Depth int
	Dir   string
}

func init() { //nolint:gochecknoinits // family calls itself
	family = proc.Func("family", func(ctx context.Context, g generation) (int, error) {
		if err := os.WriteFile(filepath.Join(g.Dir, fmt.Sprint(os.Getpid())), nil, 0o600); err != nil {
			return 0, err
		}
		if g.Depth == 0 {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		proc.Open(traigo.Current(ctx), proc.Limit(2))
		child := func(ctx context.Context) (int, error) { return family.Run(ctx, generation{g.Depth - 1, g.Dir}) }
		_, err := traigo.All(ctx, child, child)
		return 0, err
	})
}

// A peer is another way to have a worker.
type peer interface {
	call(p Parcel) int
	end()
}

func serveByHand(in io.Reader, out io.Writer) {
	d, e := gob.NewDecoder(in), gob.NewEncoder(out)
	for {
		var p Parcel
		if d.Decode(&p) != nil {
			return
		}
		if e.Encode(open(p)) != nil {
			return
		}
	}
}

type byHand struct {
	cmd *exec.Cmd
	in  io.Closer
	enc *gob.Encoder
	dec *gob.Decoder
}

func command(worker string) *exec.Cmd {
	self, err := os.Executable()
	must(err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), workerVariable+"="+worker)
	return cmd
}

func newByHand() peer {
	cmd := command("hand")
	in, err := cmd.StdinPipe()
	must(err)
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	return &byHand{cmd, in, gob.NewEncoder(in), gob.NewDecoder(out)}
}

func (w *byHand) call(p Parcel) (result int) {
	must(w.enc.Encode(p))
	must(w.dec.Decode(&result))
	return result
}

func (w *byHand) end() {
	must(w.in.Close())
	must(w.cmd.Wait())
}

var handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "TRAIGO_BENCH", MagicCookieValue: "plugin"}

var plugins = plugin.PluginSet{"open": openPlugin{}}

// openPlugin has the form that go-plugin asks for, with net/rpc.
type openPlugin struct{}

func (openPlugin) Server(*plugin.MuxBroker) (any, error) { return openServer{}, nil }

func (openPlugin) Client(_ *plugin.MuxBroker, c *rpc.Client) (any, error) { return c, nil }

type openServer struct{}

func (openServer) Open(p Parcel, result *int) error {
	*result = open(p)
	return nil
}

type byPlugin struct {
	client *plugin.Client
	rpc    *rpc.Client
}

func newByPlugin() peer {
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: handshake, Plugins: plugins, Cmd: command("go-plugin"), Logger: hclog.NewNullLogger(),
	})
	protocol, err := client.Client()
	must(err)
	raw, err := protocol.Dispense("open")
	must(err)
	return &byPlugin{client, raw.(*rpc.Client)}
}

func (w *byPlugin) call(p Parcel) (result int) {
	must(w.rpc.Call("Plugin.Open", p, &result))
	return result
}

func (w *byPlugin) end() { w.client.Kill() }

// Processes returns the rows about calls of other processes.
func Processes(e Effort) []Row {
	few := e
	few.Batch, few.AtLeast, few.AtMost = 0, min(e.AtLeast, 7), 100/e.Shrink+1
	small, large := Parcel{Number: 1}, Parcel{Bytes: make([]byte, 1<<20)}
	rows := []Row{
		beside("a call of a worker that is there", "by hand", newByHand, 4, e, called(small)),
		beside("a call of a worker that is there", "go-plugin", newByPlugin, none, e, called(small)),
		beside("an argument of 1 MiB", "by hand", newByHand, 2.5, e, called(large)),
		beside("an argument of 1 MiB", "go-plugin", newByPlugin, none, e, called(large)),
		versus("start a worker, call it, and it is gone", "by hand", startCallEnd("by hand", newByHand), "traigo", "by hand", 2, few),
		versus("start a worker, call it, and it is gone", "go-plugin", startCallEnd("go-plugin", newByPlugin), "traigo", "go-plugin", none, few),
		versus("50 workers at once, one call each, and they are gone", "by hand", crew(50, newByHand), "traigo", "by hand", 2.5, few),
		{What: "a call of a worker that is there", Target: 100, Unit: "µs", measure: func() (Figure, error) { return alone(e, called(small), 1e-3) }},
		{What: "a job that spins, from cancel to reaped", Target: 20, Unit: "ms", measure: func() (Figure, error) { return times(few, kill) }},
		{What: "a tree of 15 processes, from SIGKILL of its top until all are gone", Target: 20, Unit: "ms", measure: func() (Figure, error) { return times(few, fell) }},
	}
	if python, err := exec.LookPath("python3"); err == nil {
		rows = append(rows, Row{What: "a call of a worker that is there", Beside: "Python, ProcessPoolExecutor", Target: none, measure: func() (Figure, error) {
			return besidePython(python, e, called(small))
		}})
	}
	return rows
}

// pythonCalls prints the median time of a call, in nanoseconds. abs is known to the workers
// however they are started.
const pythonCalls = `
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from time import perf_counter_ns as now

def call(pool):
    begin = now()
    pool.submit(abs, 1).result()
    return now() - begin

if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        call(pool)
        print(median(call(pool) for _ in range(1000)))
`

// besidePython compares the medians of two programs that run one after the other.
func besidePython(python string, e Effort, ops func(context.Context, peer) (ours, theirs func())) (Figure, error) {
	out, err := exec.Command(python, "-c", pythonCalls).Output()
	if err != nil {
		return Figure{}, fmt.Errorf("%s: %w", python, err)
	}
	theirs, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		return Figure{}, err
	}
	f, err := alone(e, ops, 1)
	ours := f.Center
	return Figure{scaled(f.Summary, 1/theirs), took(ours), took(theirs)}, err
}

// called returns the operations of a call with p: of a pool, and of a peer.
func called(p Parcel) func(ctx context.Context, w peer) (ours, theirs func()) {
	return func(ctx context.Context, w peer) (ours, theirs func()) {
		ours = func() {
			_, err := opening.Run(ctx, p)
			must(err)
		}
		return ours, func() { w.call(p) }
	}
}

// beside compares a call of a worker that is there with that of a peer.
func beside(what, name string, start func() peer, target float64, e Effort, ops func(context.Context, peer) (ours, theirs func())) Row {
	return Row{What: what, Beside: name, Target: target, measure: func() (f Figure, err error) {
		other := start()
		defer other.end()
		err = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
			proc.Open(s, proc.Limit(1))
			ours, theirs := ops(ctx, other)
			work := Work{Name: what, Units: 1, Unit: "call", Ways: []Way{{"traigo", timed(ours)}, {name, timed(theirs)}}}
			f, err = versus(what, name, work, "traigo", name, target, e).measure()
			return err
		})
		return f, err
	}}
}

// alone measures how long our call takes.
func alone(e Effort, ops func(context.Context, peer) (ours, theirs func()), unit float64) (f Figure, err error) {
	err = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		proc.Open(s, proc.Limit(1))
		ours, _ := ops(ctx, nil)
		t := Take([]Sample{{"ours", timed(ours)}}, e)
		f = Figure{scaled(t.Median(func(at func(string) float64) float64 { return at("ours") }), unit), unknown, unknown}
		return nil
	})
	return f, err
}

// startCallEnd is to start a worker, to call it once, and to wait until it is gone.
func startCallEnd(name string, start func() peer) Work {
	p := Parcel{Number: 1}
	return Work{Name: "Processes/start", Units: 1, Unit: "worker", Ways: []Way{
		{"traigo", timed(func() {
			_, err := opening.Run(context.Background(), p)
			must(err)
		})},
		{name, timed(func() {
			w := start()
			w.call(p)
			w.end()
		})},
	}}
}

// crew is to do that with n workers at once.
func crew(n int, start func() peer) Work {
	p := Parcel{Number: 1}
	return Work{Name: "Processes/crew", Units: n, Unit: "worker", Ways: []Way{
		{"traigo", timed(func() {
			must(traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
				proc.Open(s, proc.Limit(n))
				for range n {
					s.Spawn(func(ctx context.Context) error {
						_, err := opening.Run(ctx, p)
						return err
					})
				}
				return nil
			}))
		})},
		{"by hand", timed(func() {
			var g errgroup.Group
			for range n {
				g.Go(func() error {
					w := start()
					w.call(p)
					w.end()
					return nil
				})
			}
			must(g.Wait())
		})},
	}}
}

// times measures a duration in milliseconds.
func times(e Effort, measure func() time.Duration) (Figure, error) {
	t := Take([]Sample{{"it", summed(measure)}}, e)
	return Figure{scaled(t.Median(func(at func(string) float64) float64 { return at("it") }), 1e-6), unknown, unknown}, nil
}

// kill returns how long it takes from the cancellation of a job that spins until its worker
// is reaped.
func kill() (took time.Duration) {
	must(traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		p := proc.Open(s, proc.KillAfter(0))
		f := spinning.Async(s, struct{}{})
		for len(p.Stats().Workers) == 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond) // until it spins
		begin := time.Now()
		f.Task().Cancel(nil)
		_, _ = f.Await(ctx)
		took = time.Since(begin)
		return nil
	}))
	return took
}

// fell returns how long a tree of 15 processes is there after its top was killed.
func fell() (took time.Duration) {
	const depth, size = 3, 15
	dir, err := os.MkdirTemp("", "family")
	must(err)
	defer func() { must(os.RemoveAll(dir)) }()
	must(traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		p := proc.Open(s, proc.Limit(1))
		f := family.Async(s, generation{depth, dir})
		var names []os.DirEntry
		for len(names) < size {
			time.Sleep(time.Millisecond)
			names, err = os.ReadDir(dir)
			must(err)
		}
		begin := time.Now()
		must(syscall.Kill(p.Stats().Workers[0].Pid, syscall.SIGKILL))
		for _, n := range names {
			for isAlive(n.Name()) {
				time.Sleep(100 * time.Microsecond)
			}
		}
		took = time.Since(begin)
		_, _ = f.Await(ctx)
		return nil
	}))
	return took
}

// isAlive reports whether there is a process, and it has not ended.
func isAlive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ") && !strings.Contains(string(stat), ") X ")
}
