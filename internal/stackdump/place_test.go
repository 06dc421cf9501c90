package stackdump_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/internal/stackdump"
)

func TestPlaceOfAStack(t *testing.T) {
	const lock = "internal/sync.(*Mutex).lockSlow(0x21fa4a056140)\n\t/usr/local/go/src/internal/sync/mutex.go:149 +0x15d\n" +
		"sync.(*Mutex).Lock(...)\n\t/usr/local/go/src/sync/mutex.go:46\n" +
		"github.com/traigo/traigo.(*Task).Wait(0xc000123)\n\t/src/traigo/wait.go:10 +0x2d\n"
	const user = "main.(*server).serve.func1({0x1, 0x2})\n\t/home/gopher/a b/main.go:45 +0x2d\n" +
		"main.main()\n\t/home/gopher/main.go:12 +0x2d\n"
	const created = "created by github.com/traigo/traigo.(*Scope).launch in goroutine 1\n\t/src/traigo/workers.go:9 +0x145"
	for _, row := range []struct {
		stack string
		want  stackdump.Place
	}{
		{"goroutine 8 [sync.Mutex.Lock, 12 minutes]:\n" + lock + user + created, stackdump.Place{Waits: "sync.Mutex.Lock", For: 12 * time.Minute, At: "main.go:45"}},
		{"goroutine 8 [select (no cases)]:\n" + user, stackdump.Place{Waits: "select (no cases)", At: "main.go:45"}},
		{"goroutine 8 [syscall, 3 minutes, locked to thread]:\n" + user, stackdump.Place{Waits: "syscall", For: 3 * time.Minute, At: "main.go:45"}},
		{"goroutine 8 [chan receive (durable), synctest bubble 2]:\n" + user, stackdump.Place{Waits: "chan receive", At: "main.go:45"}},
		{"goroutine 8 [chan receive (durable), 3 minutes, synctest bubble 2]:\n" + user, stackdump.Place{Waits: "chan receive", At: "main.go:45"}},
		{`goroutine 8 [IO wait] {"a]": "b, 7 minutes"}:` + "\n" + user, stackdump.Place{Waits: "IO wait", At: "main.go:45"}},
		{"goroutine 8 [runnable]:\nruntime.gopark(0x1)\n\t/usr/local/go/src/runtime/proc.go:1 +0x1\n" + lock + created, stackdump.Place{Waits: "runnable"}},
		{"goroutine 8 [running]:\nexample.com/net/http.Serve()\n\texample.com/net@v1/http.go:7\n", stackdump.Place{Waits: "running", At: "http.go:7"}},
		{"goroutine 8 [running]:\ngo.example.com/svc.Serve()\n\t/svc/svc.go:7\n", stackdump.Place{Waits: "running", At: "svc.go:7"}},
		{"goroutine 8 [running]:\nlog.corp/svc/net.(*T).Serve.func1()\n\t/svc/svc.go:8\n", stackdump.Place{Waits: "running", At: "svc.go:8"}},
		{"goroutine 8 [running]:\ngo.uber.org/x.Do(0x1)\n\t/x.go:9 +0x1\n" + user, stackdump.Place{Waits: "running", At: "x.go:9"}},
		{"goroutine 8 [running]:\nnet/http.(*conn).serve(0x1)\n\t/go/src/net/http/server.go:9 +0x1\nlog/slog.Info(...)\n\t/x.go:1\n" + user, stackdump.Place{Waits: "running", At: "main.go:45"}},
		{"goroutine 8 [running]:\nmysync.Lock(...)\n\tmysync/lock.go:7\n", stackdump.Place{Waits: "running", At: "lock.go:7"}},
		{"goroutine 8 [chan send]:\nmain.send[...](0x1)\n\t/main.go:7 +0x1\n", stackdump.Place{Waits: "chan send", At: "main.go:7"}},
		{"goroutine 8 [running]:\n\tgoroutine running on other thread; stack unavailable\n" + created, stackdump.Place{Waits: "running"}},
		{"", stackdump.Place{}},
		{"nonsense", stackdump.Place{}},
	} {
		assert.Equal(t, row.want, stackdump.PlaceOf(row.stack), "%s", row.stack)
	}
}

func TestPlaceOfAGoroutine(t *testing.T) {
	w := started(t)
	p := stackdump.PlaceOf(stackdump.Find(stackdump.All(), workFrame).Of(w))
	assert.Equal(t, "chan receive", p.Waits)
	assert.Zero(t, p.For)
}
