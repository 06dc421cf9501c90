package live

import (
	"context"
	"sync"
	"time"
)

// restFactor times what a picture has cost is how long the camera then rests at least.
const restFactor = 2

// A camera takes pictures for many clients, one at a time and not too often. A client
// gets a picture that was begun after it had asked for it: so no answer is older than
// its question, and all that wait share one.
type camera[K comparable, V any] struct {
	take func(K) V
	gap  time.Duration // between the beginnings of two

	turn chan struct{} // whoever has sent into it takes the next picture
	next time.Time     // when that may be; of whoever has the turn

	mu      sync.Mutex // guards what follows
	waiting int        // clients
	begun   uint64     // pictures
	number  uint64     // of the picture that is kept; 0 if none is
	key     K
	picture V
}

func newCamera[K comparable, V any](gap time.Duration, take func(K) V) *camera[K, V] {
	return &camera[K, V]{take: take, gap: gap, turn: make(chan struct{}, 1)}
}

// get returns a picture of key. Its error is why ctx is done.
func (c *camera[K, V]) get(ctx context.Context, key K) (V, error) {
	before := c.enter()
	defer c.leave()
	var none V
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	defer func() { <-c.turn }()
	if picture, ok := c.newerThan(before, key); ok {
		return picture, nil
	}
	if err := sleepUntil(ctx, c.next); err != nil {
		return none, err
	}
	number, began := c.begin(), time.Now()
	picture := c.take(key)
	cost := time.Since(began)
	c.next = began.Add(max(c.gap, (1+restFactor)*cost))
	c.keep(number, key, picture)
	return picture, nil
}

// enter counts a client, and tells it how many pictures were begun before it came.
func (c *camera[K, V]) enter() (before uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting++
	return c.begun
}

// leave drops the picture with the last client: it may be large, and nobody who comes
// later may have it.
func (c *camera[K, V]) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		var none V
		c.number, c.picture = 0, none
	}
}

func (c *camera[K, V]) newerThan(before uint64, key K) (picture V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.picture, c.number > before && c.key == key
}

func (c *camera[K, V]) begin() (number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun++
	return c.begun
}

func (c *camera[K, V]) keep(number uint64, key K, picture V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number, c.key, c.picture = number, key, picture
}

// sleepUntil returns why ctx is done, if it is before t.
func sleepUntil(ctx context.Context, t time.Time) error {
	wait := time.Until(t)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
