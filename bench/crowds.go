package bench

import (
	"context"
	"sync"

	"github.com/alitto/pond/v2"
	"github.com/creachadair/taskgroup"
	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/pool"
	"golang.org/x/sync/errgroup"

	"github.com/traigo/traigo"
)

// A crowd starts n tasks that do the same job, calls between, and returns when all tasks
// have ended. Each is written in the style of its library's documentation.
type crowd func(n int, j job, between func())

var crowds = []struct {
	name  string
	crowd crowd
}{
	{"traigo", traigoCrowd},
	{"go", goCrowd},
	{"WaitGroup.Go", waitGroupCrowd},
	{"errgroup", errgroupCrowd},
	{"conc", concCrowd},
	{"conc-pool", concPoolCrowd},
	{"taskgroup", taskgroupCrowd},
	{"pond", pondCrowd},
}

func traigoCrowd(n int, j job, between func()) {
	must(traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		for range n {
			s.Spawn(j.ctx)
		}
		between()
		return nil
	}))
}

func goCrowd(n int, j job, between func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			j.plain()
		}()
	}
	between()
	wg.Wait()
}

func waitGroupCrowd(n int, j job, between func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(j.plain)
	}
	between()
	wg.Wait()
}

func errgroupCrowd(n int, j job, between func()) {
	var g errgroup.Group
	for range n {
		g.Go(j.err)
	}
	between()
	must(g.Wait())
}

func concCrowd(n int, j job, between func()) {
	var wg conc.WaitGroup
	for range n {
		wg.Go(j.plain)
	}
	between()
	wg.Wait()
}

func concPoolCrowd(n int, j job, between func()) {
	p := pool.New().WithContext(context.Background())
	for range n {
		p.Go(j.ctx)
	}
	between()
	must(p.Wait())
}

func taskgroupCrowd(n int, j job, between func()) {
	var g taskgroup.Group
	for range n {
		g.Go(j.err)
	}
	between()
	must(g.Wait())
}

// pondCrowd uses a pool of size 0, which has as many workers as are needed.
func pondCrowd(n int, j job, between func()) {
	p := pond.NewPool(0)
	g := p.NewGroup()
	for range n {
		g.SubmitErr(j.err)
	}
	between()
	must(g.Wait())
	p.StopAndWait()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
