package actor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// snapshotTimeout is how long an actor has to answer.
const snapshotTimeout = time.Second

// Snapshot returns s.Snapshot(), with the trees of all actors in it: each is below the task that
// stands for it, which is the Task of its Snapshot, with its Pid, and with IDs that have the Pid
// in their upper half. All actors are asked at once. One that has not answered within 1 s, or
// when ctx is done, is left out, and the error names it. Snapshot panics if ctx or s is nil.
func Snapshot(ctx context.Context, s *traigo.Scope) (traigo.Snapshot, error) {
	if ctx == nil || s == nil {
		panic("traigo: actor.Snapshot: ctx or s is nil")
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	return snapshotOf(ctx, s)
}

// A starterTask is a task that an actor may stand for.
type starterTask struct{ scope, task uint64 }

func snapshotOf(ctx context.Context, s *traigo.Scope) (traigo.Snapshot, error) {
	var mu sync.Mutex
	var errs []error
	trees := map[starterTask]traigo.Snapshot{}
	var asked sync.WaitGroup
	for _, a := range here.all() {
		if !isBelow(a.task.Scope(), s) {
			continue
		}
		asked.Go(func() {
			tree, err := a.ask(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			}
			if tree.ID != 0 {
				trees[starterTask{a.task.Scope().ID(), a.task.ID()}] = tree
			}
		})
	}
	shot := s.Snapshot()
	asked.Wait()
	insert(&shot, trees)
	return shot, errors.Join(errs...)
}

func isBelow(s, root *traigo.Scope) bool {
	for ; s != nil; s = s.Parent() {
		if s == root {
			return true
		}
	}
	return false
}

// insert puts the trees below the tasks that they belong to.
func insert(shot *traigo.Snapshot, trees map[starterTask]traigo.Snapshot) {
	for i := range shot.Scopes {
		insert(&shot.Scopes[i], trees)
	}
	if shot.Pid != 0 {
		return // of another process, whose scopes have numbers of their own
	}
	for _, t := range shot.Tasks {
		tree, ok := trees[starterTask{shot.ID, t.ID}]
		if !ok {
			continue
		}
		tree.Parent, tree.Task = shot.ID, t.ID
		rebase(&tree, shot.Path+"/"+tree.Name, tree.Path, tree.Pid)
		shot.Scopes = append(shot.Scopes, tree)
	}
}

// rebase makes a tree of the process pid one of this process: with paths that begin with to
// instead of from, and with IDs that no scope here has. Trees of processes further down have been
// rebased there.
func rebase(shot *traigo.Snapshot, to, from string, pid int) {
	unique := func(id uint64) uint64 {
		if id == 0 || id >= 1<<32 {
			return id
		}
		return uint64(pid)<<32 | id
	}
	move := func(path string) string { return to + path[min(len(from), len(path)):] }
	shot.Path = move(shot.Path)
	for i, path := range shot.Blocked {
		shot.Blocked[i] = move(path)
	}
	if isThere := shot.Pid == pid; isThere {
		shot.ID = unique(shot.ID)
	}
	for i := range shot.Tasks {
		t := &shot.Tasks[i]
		t.Path = move(t.Path)
		t.Scope = unique(t.Scope)
	}
	for i := range shot.Scopes {
		below := &shot.Scopes[i]
		if below.Pid == 0 {
			below.Pid = pid
		}
		rebase(below, to, from, pid)
		below.Parent = shot.ID
	}
}

// ask asks an actor for its tree.
func (a *Actor) ask(ctx context.Context) (traigo.Snapshot, error) {
	reply := make(chan snapshotAnswer, 1)
	c := a.child
	c.mu.Lock()
	c.lastID++
	id := c.lastID
	c.asks[id] = reply
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.asks, id)
	}()
	deadline, _ := ctx.Deadline()
	a.link.outbox.post(askSnapshot, id, snapshotRequest{Within: time.Until(deadline)})
	select {
	case answer := <-reply:
		answer.Scope.Pid = a.id.Pid
		return answer.Scope, asError(answer.Err)
	case <-a.link.lost:
		return traigo.Snapshot{}, nil // it has ended: there is no tree
	case <-ctx.Done():
		return traigo.Snapshot{}, fmt.Errorf("actor %q (pid %d) has not answered: %w", a.id.Path, a.id.Pid, context.Cause(ctx))
	}
}

func (c *child) deliver(id uint64, payload []byte) {
	var answer snapshotAnswer
	if decodeJSON(payload, &answer) != nil {
		return
	}
	c.mu.Lock()
	reply := c.asks[id]
	delete(c.asks, id)
	c.mu.Unlock()
	if reply != nil {
		reply <- answer
	}
}

// answerSnapshot answers ask. It leaves some of the time for the way back, so that the answer is
// there in time without the actors below that do not answer.
func (p *place) answerSnapshot(s *session, id uint64, req snapshotRequest) {
	ctx, cancel := context.WithTimeout(context.Background(), req.Within*3/4)
	defer cancel()
	shot, err := snapshotOf(ctx, p.host.scope)
	answer := snapshotAnswer{Scope: shot}
	if err != nil {
		answer.Err = asRemote(err)
	}
	data := encodeJSON(answer)
	if len(data) > maxMessage { // what cannot be sent would end the connection, and so the actor
		data = encodeJSON(snapshotAnswer{Err: asRemote(fmt.Errorf("the tree of actor %q takes %d bytes, of at most %d in one message", Self().Path, len(data), maxMessage))})
	}
	s.outbox.enqueue(controlFrame(answerSnapshot, id, data))
	s.outbox.signal()
}
