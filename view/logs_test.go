package view_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/traigo/traigo"
)

// The logs of real programs come first, then two large logs and some unusual ones that are
// written by hand.

// working returns a task that takes a time, unless it is canceled.
func working(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error { return traigo.Sleep(ctx, d) }
}

// small returns the log of a program without failures.
func small(t *testing.T) []byte {
	return record(t, func(t *testing.T, watched traigo.ScopeOption) {
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(working(1200*time.Millisecond), traigo.Name("heartbeat"), traigo.Awaited(false))
			if err := s.Spawn(working(90*time.Millisecond), traigo.Name("load config")).Wait(ctx); err != nil {
				return err
			}
			s.Spawn(working(310*time.Millisecond), traigo.Name("fetch orders"))
			users := s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, pages *traigo.Scope) error {
					for i := range 4 {
						pages.Spawn(working(time.Duration(120+70*(i*5%4))*time.Millisecond), traigo.Name(fmt.Sprintf("page %d", i+1)))
					}
					return nil
				}, traigo.Name("user pages"), traigo.Limit(3))
			}, traigo.Name("fetch users"))
			if err := users.Wait(ctx); err != nil {
				return err
			}
			render := s.Fork(traigo.Name("render"))
			render.Spawn(working(220*time.Millisecond), traigo.Name("charts"))
			render.Spawn(working(140*time.Millisecond), traigo.Name("tables"))
			return render.Wait()
		}, watched, traigo.Name("report"), traigo.Timeout(5*time.Second))
		if err != nil {
			t.Error(err)
		}
	})
}

var errFiles = errors.New("too many open files")

// failing returns the log of a server whose accept fails while connections are open. One of
// them takes a while to end.
func failing(t *testing.T) []byte {
	return record(t, func(t *testing.T, watched traigo.ScopeOption) {
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(working(time.Hour), traigo.Name("metrics"), traigo.Awaited(false))
			s.Spawn(func(ctx context.Context) error {
				if err := traigo.Sleep(ctx, 1700*time.Millisecond); err != nil {
					return err
				}
				return errors.New("dns: no such host")
			}, traigo.Name("report usage"), traigo.Bubble(false))
			s.Spawn(func(ctx context.Context) error {
				for i, wait := range []int{300, 500, 700, 600, 400} {
					if err := traigo.Sleep(ctx, time.Duration(wait)*time.Millisecond); err != nil {
						return err
					}
					s.Spawn(conn(i), traigo.Name(fmt.Sprintf("conn %d", i+1)))
				}
				if err := traigo.Sleep(ctx, 700*time.Millisecond); err != nil {
					return err
				}
				return errFiles
			}, traigo.Name("accept"), traigo.Master(true))
			return nil
		}, watched, traigo.Name("server"))
		if !errors.Is(err, errFiles) {
			t.Error(err)
		}
	})
}

// conn returns the task of a connection. The first two end by themselves, the others are
// canceled.
func conn(i int) func(context.Context) error {
	return func(ctx context.Context) error {
		return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			life := time.Duration(900+300*i) * time.Millisecond
			if i >= 2 {
				life = time.Hour
			}
			s.Spawn(working(life), traigo.Name("read"))
			s.Spawn(working(life), traigo.Name("write"))
			if i == 3 {
				s.Spawn(func(ctx context.Context) error {
					<-ctx.Done()
					time.Sleep(450 * time.Millisecond) // it flushes its buffers
					return ctx.Err()
				}, traigo.Name("flush"))
			}
			return nil
		}, traigo.Name("session"))
	}
}

// crashed returns the log of failing as a process that is killed would leave it.
func crashed(t *testing.T) []byte {
	whole := failing(t)
	return whole[:bytes.Index(whole, []byte(`"st":"failed"`))+120]
}

// crawl returns the log of 500 tasks, 24 at a time, until one of them fails.
func crawl(t *testing.T) []byte {
	random := rand.New(rand.NewPCG(1, 500))
	return record(t, func(t *testing.T, watched traigo.ScopeOption) {
		err := traigo.Run(t.Context(), func(context.Context, *traigo.Scope) error { return nil }, watched, traigo.Name("warm up"))
		if err != nil {
			t.Error(err)
		}
		_ = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			for i := range 500 {
				life := time.Duration(20+random.ExpFloat64()*180) * time.Millisecond
				name := traigo.Name(fmt.Sprintf("page %d", i))
				switch {
				case i == 470:
					s.Spawn(func(context.Context) error { time.Sleep(life); return errors.New("robots.txt: we are banned") }, name)
				case i%61 == 60:
					s.Spawn(func(context.Context) error { time.Sleep(life); return errors.New("404 Not Found") }, name, traigo.Bubble(false))
				default:
					s.Spawn(working(life), name)
				}
			}
			return nil
		}, watched, traigo.Name("crawl"), traigo.Limit(24))
	})
}

// shop returns the log of what `traigo demo` runs: a service that asks for prices, and that is
// started again after its journal has failed.
func shop(t *testing.T) []byte {
	random := rand.New(rand.NewPCG(1, 98))
	return record(t, func(t *testing.T, watched traigo.ScopeOption) {
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				_ = traigo.Run(ctx, serving(random, 4800*time.Millisecond, errors.New("journal.txt: file already closed")), traigo.Name("supervisor attempt 1"))
				if err := traigo.Sleep(ctx, 700*time.Millisecond); err != nil {
					return err
				}
				return traigo.Run(ctx, serving(random, 8*time.Second, nil), traigo.Name("supervisor attempt 2"))
			}, traigo.Name("supervisor"))
			s.Spawn(working(13*time.Second), traigo.Name("load"))
			return nil
		}, watched, traigo.Name("demo"))
		if err != nil {
			t.Error(err)
		}
	})
}

// serving returns the body of a scope with a service in it. Its journal returns err after a
// time, in which a connection begins every 100 ms.
func serving(random *rand.Rand, life time.Duration, err error) func(context.Context, *traigo.Scope) error {
	return func(ctx context.Context, _ *traigo.Scope) error {
		return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			for _, name := range []string{"accept", "sweep", "rotate log"} {
				s.Spawn(working(life), traigo.Name(name))
			}
			s.Spawn(func(ctx context.Context) error {
				if e := traigo.Sleep(ctx, life); e != nil {
					return e
				}
				return err
			}, traigo.Name("journal"))
			for range int(life/(100*time.Millisecond)) - 5 {
				if err := traigo.Sleep(ctx, 100*time.Millisecond); err != nil {
					return err
				}
				prices := make([]time.Duration, 1+random.IntN(4))
				for k := range prices {
					prices[k] = time.Duration(20+random.ExpFloat64()*160) * time.Millisecond
				}
				c := s.Fork(traigo.Name("conn"))
				c.Spawn(quoting(prices, random.IntN(12) == 0), traigo.Name("talk"))
				c.Finalize()
			}
			return nil
		}, traigo.Name("service"))
	}
}

// quoting returns a task that asks for prices, one after the other, each for at most 400 ms.
func quoting(prices []time.Duration, isBad bool) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, price := range prices {
			_ = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
				ask := func(d time.Duration) func(context.Context) (int, error) {
					return func(ctx context.Context) (int, error) { return 1, traigo.Sleep(ctx, d) }
				}
				_, err := traigo.Race(ctx, ask(price), ask(600*time.Millisecond))
				return err
			}, traigo.Name("quote"), traigo.Timeout(400*time.Millisecond))
		}
		if isBad {
			return errors.New(`that is no name of a thing: "0xDEADBEEF"`)
		}
		return nil
	}
}

// hundredThousand returns the log of a server with 2,500 sessions of 40 spans. One session
// in a hundred fails. At the end the server times out.
func hundredThousand() []byte {
	random := rand.New(rand.NewPCG(1, 100_000))
	var b bytes.Buffer
	b.WriteString(header)
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`{"t":0,"k":"scope","id":1,"n":"server"}`)
	const end = 60_000_000_000
	for i := 1; i <= 2500; i++ {
		begin := random.Int64N(end * 95 / 100)
		session := i + 1
		line(`{"t":%d,"k":"spawn","s":1,"id":%d,"n":"conn %d","f":"w"}`, begin, i, i)
		line(`{"t":%d,"k":"start","s":1,"id":%d}`, begin+1000, i)
		line(`{"t":%d,"k":"scope","id":%d,"in":1,"by":%d,"n":"session"}`, begin+2000, session, i)
		at, last, failed := begin+3000, begin, false
		for k := 1; k <= 38 && !failed && at < end; k++ {
			life := int64(random.ExpFloat64() * 40_000_000)
			line(`{"t":%d,"k":"spawn","s":%d,"id":%d,"n":"request %d","f":"bw"}`, at, session, k, k)
			line(`{"t":%d,"k":"start","s":%d,"id":%d}`, at+500, session, k)
			state := `"ok"`
			if i%100 == 0 && k == 38 {
				failed, state = true, `"failed","err":"bad request"`
			}
			line(`{"t":%d,"k":"end","s":%d,"id":%d,"st":%s}`, min(at+life, end), session, k, state)
			last = max(last, at+life)
			at += int64(random.ExpFloat64() * 30_000_000)
		}
		switch {
		case failed:
			line(`{"t":%d,"k":"cancel","id":%d,"why":"task failed","by":38,"err":"bad request"}`, last, session)
			line(`{"t":%d,"k":"close","id":%d,"err":"bad request"}`, last+1000, session)
			line(`{"t":%d,"k":"end","s":1,"id":%d,"st":"failed","err":"bad request"}`, last+2000, i)
		case last < end:
			line(`{"t":%d,"k":"close","id":%d}`, last+1000, session)
			line(`{"t":%d,"k":"end","s":1,"id":%d,"st":"ok"}`, last+2000, i)
		default:
			line(`{"t":%d,"k":"cancel","id":%d,"why":"parent canceled"}`, end+2000, session)
			line(`{"t":%d,"k":"close","id":%d,"err":"parent canceled"}`, end+3000, session)
			line(`{"t":%d,"k":"end","s":1,"id":%d,"st":"canceled","err":"canceled"}`, end+4000, i)
		}
	}
	line(`{"t":%d,"k":"cancel","id":1,"why":"timeout","err":"scope \"server\" timed out after 1m0s"}`, end)
	line(`{"t":%d,"k":"close","id":1,"err":"scope \"server\" timed out after 1m0s"}`, end+10_000)
	line(`{"t":%d,"k":"bye"}`, end+11_000)
	return b.Bytes()
}

// flat returns a log of 100,000 tasks that are all alive at one time.
func flat() []byte {
	random := rand.New(rand.NewPCG(1, 1))
	var b bytes.Buffer
	b.WriteString(header)
	fmt.Fprintln(&b, `{"t":0,"k":"scope","id":1,"n":"crowd"}`)
	for i := 1; i < 100_000; i++ {
		begin := int64(i) * 10_000
		fmt.Fprintf(&b, `{"t":%d,"k":"spawn","s":1,"id":%d,"n":"task %d","f":"bw"}`+"\n", begin, i, i)
		fmt.Fprintf(&b, `{"t":%d,"k":"start","s":1,"id":%d}`+"\n", begin+500, i)
		fmt.Fprintf(&b, `{"t":%d,"k":"end","s":1,"id":%d,"st":"ok"}`+"\n", 1_000_000_000+random.Int64N(1_000_000_000), i)
	}
	fmt.Fprintln(&b, `{"t":2000001000,"k":"close","id":1}`)
	fmt.Fprintln(&b, `{"t":2000002000,"k":"bye"}`)
	return b.Bytes()
}

// A script writes the lines of a log by hand. IDs of tasks count for all scopes together.
type script struct {
	bytes.Buffer
	ids int
}

func newScript() *script {
	s := &script{}
	s.WriteString(header)
	return s
}

func (s *script) line(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

func (s *script) scope(at, id, in, by int, name string) {
	more := ""
	if in > 0 {
		more = fmt.Sprintf(`,"in":%d`, in)
	}
	if by > 0 {
		more += fmt.Sprintf(`,"by":%d`, by)
	}
	s.line(`{"t":%d,"k":"scope","id":%d%s,"n":%q}`, at, id, more, name)
}

func (s *script) spawn(at, scope int, name string) (id int) {
	s.ids++
	s.line(`{"t":%d,"k":"spawn","s":%d,"id":%d,"n":%q,"f":"bw"}`, at, scope, s.ids, name)
	s.line(`{"t":%d,"k":"start","s":%d,"id":%d}`, at, scope, s.ids)
	return s.ids
}

func (s *script) end(at, scope, task int, state, err string) {
	s.line(`{"t":%d,"k":"end","s":%d,"id":%d,"st":%q,"err":%q}`, at, scope, task, state, err)
}

func (s *script) cancel(at, scope int, why string, by int, err string) {
	more := ""
	if by > 0 {
		more = fmt.Sprintf(`,"by":%d`, by)
	}
	s.line(`{"t":%d,"k":"cancel","id":%d,"why":%q%s,"err":%q}`, at, scope, why, more, err)
}

func (s *script) close(at, scope int, err string) {
	s.line(`{"t":%d,"k":"close","id":%d,"err":%q}`, at, scope, err)
}

func (s *script) bye(at int) []byte {
	s.line(`{"t":%d,"k":"bye"}`, at)
	return s.Bytes()
}

// deep returns the log of 60 levels, each a task that opens a scope, with one more task to
// watch. The innermost fails. The errors are as an earlier version wrote them, with the names
// of all levels, cut at 4096 bytes.
func deep() []byte {
	const levels, ms = 60, 1_000_000
	s := newScript()
	s.scope(0, 1, 0, 0, "root")
	var tasks, watches [levels + 2]int
	for l := 1; l <= levels; l++ {
		watches[l] = s.spawn(l*10*ms-500, l, "watch")
		tasks[l] = s.spawn(l*10*ms, l, fmt.Sprintf("task %d", l))
		if l < levels {
			s.scope(l*10*ms+1000, l+1, l, tasks[l], fmt.Sprintf("level %d", l))
		}
	}
	at, text := 720*ms, "bottom reached"
	for l := levels; l >= 1; l-- {
		s.end(at, l, tasks[l], "failed", text[:min(len(text), 4096)])
		text = fmt.Sprintf("task \"task %d\": %s", l, text)
		s.cancel(at+1000, l, "task failed", tasks[l], text[:min(len(text), 4096)])
		s.end(at+2*ms, l, watches[l], "canceled", "context canceled")
		name := "root"
		if l > 1 {
			name = fmt.Sprintf("level %d", l-1)
		}
		text = fmt.Sprintf("scope %q: %s", name, text)
		s.close(at+3*ms, l, text[:min(len(text), 4096)])
		at += 4 * ms
	}
	return s.bye(at + ms)
}

// wide returns the log of 5,000 siblings of which half fail, every other.
func wide() []byte {
	random := rand.New(rand.NewPCG(1, 5000))
	s := newScript()
	s.scope(0, 1, 0, 0, "import")
	ends := make([]struct{ at, id int }, 5000)
	for i := range ends {
		begin := i * 400_000
		ends[i].id = s.spawn(begin, 1, fmt.Sprintf("item %d", i))
		ends[i].at = begin + 50_000_000 + random.IntN(400_000_000)
	}
	last := 0
	for i, e := range ends {
		if i%2 == 0 {
			s.end(e.at, 1, e.id, "failed", fmt.Sprintf("row %d: no such column", i))
		} else {
			s.end(e.at, 1, e.id, "ok", "")
		}
		last = max(last, e.at)
	}
	s.cancel(last+1000, 1, "completed", 0, "")
	s.close(last+2000, 1, "")
	return s.bye(last + 3000)
}

// server returns the log of a server with 400 connections in 125 s, as a load balancer that
// closes some of them would see it. At its end a task fails that rotates a log.
func server() []byte {
	const ms = 1_000_000
	random := rand.New(rand.NewPCG(1, 400))
	s := newScript()
	s.scope(0, 1, 0, 0, "server")
	accept := s.spawn(1*ms, 1, "accept")
	metrics := s.spawn(2*ms, 1, "metrics")
	rotate := s.spawn(3*ms, 1, "rotate log")
	const over = 125_000 * ms
	type open struct{ scope, conn, handle int }
	var left []open
	for i := range 400 {
		at := 10*ms + i*300*ms + random.IntN(200*ms)
		conn := s.spawn(at, 1, "conn")
		id := i + 2
		s.scope(at+1000, id, 1, conn, "conn")
		read := s.spawn(at+2000, id, "read")
		life := 500*ms + int(random.ExpFloat64()*6000*float64(ms))
		requests := 1 + random.IntN(9)
		for k := range requests {
			from := at + ms + life*k/requests
			req := s.spawn(from, id, fmt.Sprintf("request %d", k))
			to := from + int(random.ExpFloat64()*40*float64(ms))
			switch {
			case to >= over:
				s.end(over+ms, id, req, "canceled", "context canceled")
			case i%29 == 28 && k == requests-1:
				s.end(to, id, req, "failed", "unexpected EOF")
			default:
				s.end(to, id, req, "ok", "")
			}
		}
		if at+life >= over {
			left = append(left, open{id, conn, read})
			continue
		}
		s.end(at+life, id, read, "ok", "")
		if i%29 == 28 {
			s.cancel(at+life, id, "body failed", 0, "unexpected EOF")
			s.close(at+life+1000, id, "unexpected EOF")
			s.end(at+life+2000, 1, conn, "ok", "")
			continue
		}
		s.close(at+life+1000, id, "")
		s.end(at+life+2000, 1, conn, "ok", "")
	}
	s.end(over, 1, rotate, "failed", "no space left on device")
	s.cancel(over+1000, 1, "task failed", rotate, "no space left on device")
	for k, o := range left {
		at := over + (5+k)*ms
		s.cancel(over+2000, o.scope, "parent canceled", 0, "")
		s.end(at, o.scope, o.handle, "canceled", "context canceled")
		s.close(at+1000, o.scope, "parent canceled")
		s.end(at+2000, 1, o.conn, "canceled", "context canceled")
	}
	s.end(over+3*ms, 1, accept, "canceled", "context canceled")
	s.end(over+4*ms, 1, metrics, "canceled", "context canceled")
	s.close(over+100*ms, 1, `task "rotate log": no space left on device`)
	return s.bye(over + 101*ms)
}

// needle returns the log of 200,000 spans, of which one fails, for 1.4 ms after 10.712 s.
func needle() []byte {
	const pairs, step = 100_000, 200_000
	s := newScript()
	s.scope(0, 1, 0, 0, "spans")
	for i := range pairs {
		at := i * step
		task := s.spawn(at, 1, "req")
		s.scope(at+100, i+2, 1, task, "request")
		if at == 10_712_000_000 {
			s.cancel(at+1_400_000, i+2, "body failed", 0, "checksum")
			s.close(at+1_400_100, i+2, "checksum")
			s.end(at+1_400_200, 1, task, "failed", "checksum")
			continue
		}
		s.close(at+900_000, i+2, "")
		s.end(at+900_100, 1, task, "ok", "")
	}
	s.cancel(pairs*step+2_000_000, 1, "completed", 0, "")
	s.close(pairs*step+2_000_100, 1, "")
	return s.bye(pairs*step + 2_000_200)
}

// lossy returns a log with a gap and a census.
func lossy() []byte {
	return logOf(
		`{"t":1000000,"k":"scope","id":3,"n":"server"}`,
		`{"t":2000000,"k":"spawn","s":3,"id":1,"n":"gone","f":"bw"}`,
		`{"t":2100000,"k":"start","s":3,"id":1}`,
		`{"t":2000000,"k":"spawn","s":3,"id":2,"n":"here","f":"bw"}`,
		`{"t":2200000,"k":"start","s":3,"id":2}`,
		`{"t":50000000,"k":"lost","n":812,"why":"the writer was too slow"}`,
		`{"t":50001000,"k":"live","n":2}`,
		`{"t":1000000,"k":"scope","id":3,"n":"server","st":"open"}`,
		`{"t":2000000,"k":"spawn","s":3,"id":2,"n":"here","f":"bw","st":"running"}`,
		`{"t":80000000,"k":"end","s":3,"id":2,"st":"ok"}`,
		`{"t":81000000,"k":"cancel","id":3,"why":"completed"}`,
		`{"t":81000100,"k":"close","id":3}`,
		`{"t":81000200,"k":"bye"}`,
	)
}

// given returns a log with a task that is given up, with its stack, and one that panics.
func given() []byte {
	return logOf(
		`{"t":0,"k":"scope","id":1,"n":"job"}`,
		`{"t":1000000,"k":"spawn","s":1,"id":1,"n":"deaf","f":"bw"}`,
		`{"t":1000100,"k":"start","s":1,"id":1}`,
		`{"t":1000000,"k":"spawn","s":1,"id":2,"n":"parse","f":"bw"}`,
		`{"t":1000100,"k":"start","s":1,"id":2}`,
		`{"t":20000000,"k":"end","s":1,"id":2,"st":"panicked","err":"index out of range","stack":"goroutine 7 [running]:\nmain.parse(…)\n\t/src/main.go:41"}`,
		`{"t":20000100,"k":"cancel","id":1,"why":"panicked","by":2,"err":"index out of range"}`,
		`{"t":30000000,"k":"stuck","s":1,"id":1,"stack":"goroutine 6 [chan receive]:\nmain.deaf(…)\n\t/src/main.go:17"}`,
		`{"t":30000100,"k":"close","id":1,"err":"task \"parse\" panicked"}`,
		`{"t":30000200,"k":"bye"}`,
	)
}

// hung returns the log of a program that hung and was killed: four tasks wait for a mutex, and
// the one that holds it waits for a channel.
func hung() []byte {
	lines := []string{
		`{"t":0,"k":"scope","id":1,"n":"app","at":"main.go:12"}`,
		`{"t":1000000,"k":"spawn","s":1,"id":1,"n":"report","f":"bw","at":"main.go:20"}`,
		`{"t":1000100,"k":"start","s":1,"id":1}`,
	}
	for i := 2; i <= 5; i++ {
		lines = append(lines,
			fmt.Sprintf(`{"t":800000000,"k":"spawn","s":1,"id":%d,"n":"update %d","f":"bw","at":"main.go:23"}`, i, i-1),
			fmt.Sprintf(`{"t":800000100,"k":"start","s":1,"id":%d}`, i))
	}
	lines = append(lines,
		`{"t":800000200,"k":"finalize","id":1}`,
		`{"t":10800000200,"k":"stacks","n":2,"why":"nothing has moved for 10s","goroutines":9}`,
		`{"t":10800000200,"k":"group","n":4,"waits":"sync.Mutex.Lock","at":"main.go:31","stack":"goroutine 7 [sync.Mutex.Lock]:\nmain.update(…)\n\t/src/main.go:31","of":[1,2,1,3,1,4,1,5]}`,
		`{"t":10800000200,"k":"group","n":1,"waits":"chan receive","at":"main.go:40","stack":"goroutine 6 [chan receive]:\nmain.report(…)\n\t/src/main.go:40","of":[1,1]}`,
		`{"t":60000000000,"k":"beat"}`,
	)
	return bytes.Replace(logOf(lines...), []byte(`"traigo":1`), []byte(`"traigo":2`), 1)
}

// climbing returns a log in which a failure is passed up from a scope to its parent.
func climbing() []byte {
	return logOf(
		`{"t":0,"k":"scope","id":1,"n":"app"}`,
		`{"t":100,"k":"spawn","s":1,"id":1,"n":"import","f":"bw"}`,
		`{"t":200,"k":"start","s":1,"id":1}`,
		`{"t":300,"k":"spawn","s":1,"id":2,"n":"serve","f":"bw"}`,
		`{"t":400,"k":"start","s":1,"id":2}`,
		`{"t":500,"k":"scope","id":2,"in":1,"by":1,"n":"batch"}`,
		`{"t":600,"k":"spawn","s":2,"id":1,"n":"row","f":"bw"}`,
		`{"t":700,"k":"spawn","s":2,"id":2,"n":"index","f":"bw"}`,
		`{"t":5000,"k":"end","s":2,"id":1,"st":"failed","err":"bad row"}`,
		`{"t":5100,"k":"cancel","id":2,"why":"task failed","by":1,"err":"bad row"}`,
		`{"t":5200,"k":"end","s":2,"id":2,"st":"canceled","err":"context canceled"}`,
		`{"t":5300,"k":"close","id":2,"err":"bad row"}`,
		`{"t":5400,"k":"end","s":1,"id":1,"st":"failed","err":"bad row"}`,
		`{"t":5500,"k":"cancel","id":1,"why":"task failed","by":1,"err":"bad row"}`,
		`{"t":5600,"k":"end","s":1,"id":2,"st":"canceled","err":"context canceled"}`,
		`{"t":5700,"k":"close","id":1,"err":"bad row"}`,
		`{"t":5800,"k":"bye"}`,
	)
}

// instant returns the log of a scope that takes no time.
func instant() []byte {
	return logOf(`{"t":0,"k":"scope","id":1,"n":"blink"}`, `{"t":0,"k":"close","id":1}`, `{"t":0,"k":"bye"}`)
}

// hour returns the log of a long run with something short at its end.
func hour() []byte {
	return logOf(
		`{"t":0,"k":"scope","id":1,"n":"server"}`,
		`{"t":3599999999500,"k":"spawn","s":1,"id":1,"n":"blip","f":"bw"}`,
		`{"t":3599999999700,"k":"end","s":1,"id":1,"st":"ok"}`,
		`{"t":3600000000000,"k":"close","id":1}`,
		`{"t":3600000000000,"k":"bye"}`,
	)
}

var hostileNames = []string{
	`</script><script>document.title='pwned'</script>`,
	`<img src=x onerror="document.title='pwned'">`,
	strings.Repeat("long ", 2000),
	"abc\u202egnp.exe",
	"nul\x00bell\x07escape\x1b[31m del\x7f",
	"👩‍👩‍👧‍👦 семья 家族 عائلة",
	"",
	"two\nlines\tand a tab",
	"-->]]>${1}{{.}}%s",
	"__proto__",
	"\u2028\u2029\ufeff\u200b",
}

// nasty returns a log with names that try to break the page.
func nasty() []byte {
	var b bytes.Buffer
	b.WriteString(header)
	quoted := func(s string) string {
		text, err := json.Marshal(s)
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	fmt.Fprintln(&b, `{"t":0,"k":"scope","id":1,"n":"root"}`)
	for i, name := range hostileNames {
		fmt.Fprintf(&b, `{"t":%d,"k":"spawn","s":1,"id":%d,"n":%s,"f":"w"}`+"\n", 10*i, i+1, quoted(name))
		fmt.Fprintf(&b, `{"t":%d,"k":"start","s":1,"id":%d}`+"\n", 10*i+1, i+1)
		fmt.Fprintf(&b, `{"t":%d,"k":"scope","id":%d,"in":1,"by":%d,"n":%s}`+"\n", 10*i+2, i+100, i+1, quoted(name))
		fmt.Fprintf(&b, `{"t":%d,"k":"end","s":1,"id":%d,"st":"failed","err":%s,"stack":%s}`+"\n", 400+10*i, i+1, quoted(name), quoted(name))
	}
	fmt.Fprintf(&b, `{"t":600,"k":"cancel","id":1,"why":"task failed","by":1,"err":%s}`+"\n", quoted(hostileNames[0]))
	fmt.Fprintf(&b, `{"t":700,"k":"close","id":1,"err":%s}`+"\n", quoted(hostileNames[0]))
	return b.Bytes()
}

// trioVis is a file in the format of trio-vis.
const trioVis = `{"config": {"makeDirectScopeTransparent": true}, "runRecords": [
	{"time": 0, "desc": "created", "name": "main-0__TRIO_VIS_Tscope", "type": "scope"},
	{"time": 1, "desc": "created", "name": "main-0", "type": "task", "parent": "main-0__TRIO_VIS_Tscope"},
	{"time": 2, "desc": "created", "name": "nursery-0", "type": "scope", "parent": "main-0__TRIO_VIS_Tscope"},
	{"time": 3, "desc": "created", "name": "worker-0__TRIO_VIS_Tscope", "type": "scope", "parent": "nursery-0"},
	{"time": 4, "desc": "created", "name": "worker-0", "type": "task", "parent": "worker-0__TRIO_VIS_Tscope"},
	{"time": 5, "desc": "created", "name": "worker-1__TRIO_VIS_Tscope", "type": "scope", "parent": "nursery-0"},
	{"time": 6, "desc": "created", "name": "worker-1", "type": "task", "parent": "worker-1__TRIO_VIS_Tscope"},
	{"time": 7, "desc": "exited", "name": "worker-0", "type": "task", "parent": "worker-0__TRIO_VIS_Tscope"},
	{"time": 8, "desc": "exited", "name": "worker-0__TRIO_VIS_Tscope", "type": "scope", "parent": "nursery-0"},
	{"time": 9, "desc": "exited", "name": "worker-1", "type": "task", "parent": "worker-1__TRIO_VIS_Tscope"},
	{"time": 10, "desc": "exited", "name": "worker-1__TRIO_VIS_Tscope", "type": "scope", "parent": "nursery-0"},
	{"time": 11, "desc": "exited", "name": "nursery-0", "type": "scope", "parent": "main-0__TRIO_VIS_Tscope"},
	{"time": 12, "desc": "exited", "name": "main-0", "type": "task", "parent": "main-0__TRIO_VIS_Tscope"},
	{"time": 13, "desc": "exited", "name": "main-0__TRIO_VIS_Tscope", "type": "task"}]}`

// allCauses is a log with a scope for each reason for which one ends, and tasks that were told to
// end by that and returned nil, an error of their own, or the cancellation.
func allCauses() []byte {
	lines := []string{`{"t":0,"k":"scope","id":1,"n":"app"}`}
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for i, why := range []string{
		`"why":"parent canceled","err":"context canceled"`, `"why":"requested"`, `"why":"timeout","err":"timed out"`, `"why":"completed"`,
		`"why":"body failed","err":"no"`, `"why":"panicked","err":"nil map"`, `"why":"task failed","by":1,"err":"no"`, `"why":"master ended","by":1`,
	} {
		for k, in := range []string{``, `"in":1,`} {
			id := 10*i + 5*k + 2
			add(`{"t":1,"k":"scope","id":%d,%s"n":"ended"}`, id, in)
			for task, name := range []string{"first", "nil", "own", "canceled", "left", "alone", "before"} {
				add(`{"t":2,"k":"spawn","s":%d,"id":%d,"n":"%s","f":"bw"}`, id, task+1, name)
			}
			add(`{"t":2,"k":"scope","id":%d,"in":%d,"by":5,"n":"below"}`, id+1, id)
			add(`{"t":2,"k":"scope","id":%d,"in":%d,"by":6,"n":"in alone"}`, id+2, id)
			add(`{"t":2,"k":"scope","id":%d,"in":%d,"by":3,"n":"passed on"}`, id+3, id)
			add(`{"t":3,"k":"end","s":%d,"id":7,"st":"canceled","err":"context canceled"}`, id)
			add(`{"t":3,"k":"cancel","id":%d,"why":"parent canceled","err":"context canceled"}`, id+2)
			if strings.Contains(why, "failed") {
				add(`{"t":4,"k":"end","s":%d,"id":1,"st":"failed","err":"no"}`, id)
			} else {
				add(`{"t":4,"k":"end","s":%d,"id":1,"st":"ok"}`, id)
			}
			add(`{"t":5,"k":"cancel","id":%d,%s}`, id, why)
			add(`{"t":5,"k":"cancel","id":%d,"why":"parent canceled","err":"scope \"ended\": no"}`, id+1)
			add(`{"t":6,"k":"cancel","id":%d,"why":"body failed","err":"late"}`, id+3)
			add(`{"t":6,"k":"close","id":%d,"err":"scope \"ended/passed on\": late"}`, id+3)
			add(`{"t":7,"k":"end","s":%d,"id":2,"st":"ok"}`, id)
			add(`{"t":7,"k":"end","s":%d,"id":3,"st":"failed","err":"scope \"ended/passed on\": late"}`, id)
			add(`{"t":7,"k":"end","s":%d,"id":4,"st":"canceled","err":"context canceled"}`, id)
			add(`{"t":7,"k":"end","s":%d,"id":6,"st":"canceled","why":"requested","err":"context canceled"}`, id)
			add(`{"t":8,"k":"close","id":%d}`, id)
		}
	}
	return logOf(lines...)
}
