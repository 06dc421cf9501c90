package live_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/live"
)

// slow takes pictures that need two seconds, and says which it is of what.
func slow(gap time.Duration) func(ctx context.Context, key int) (string, error) {
	taken := 0
	return live.NewCamera(gap, func(key int) string {
		taken++
		number := taken
		time.Sleep(2 * time.Second)
		return fmt.Sprintf("number %d, of %d", number, key)
	})
}

// ask adds what a client gets, and when.
func ask(t *testing.T, get func(context.Context, int) (string, error), key int) func() string {
	var answer string
	var client sync.WaitGroup
	begin := time.Now()
	client.Go(func() {
		picture, err := get(t.Context(), key)
		assert.NoError(t, err)
		answer = fmt.Sprintf("%s, after %v", picture, time.Since(begin))
	})
	synctest.Wait()
	return func() string {
		client.Wait()
		return answer
	}
}

func TestACameraTakesNoPictureThatIsOlderThanTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := slow(time.Second)
		first := ask(t, get, 7)
		time.Sleep(time.Second)
		second, third := ask(t, get, 7), ask(t, get, 7)
		assert.Equal(t, "number 1, of 7, after 2s", first())
		// It rests for twice as long as it has worked: from 2 s to 6 s.
		assert.Equal(t, "number 2, of 7, after 7s", second(), "the first had been begun before")
		assert.Equal(t, "number 2, of 7, after 7s", third(), "shared")
	})
}

func TestACameraGivesNobodyAnothersPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := slow(time.Second)
		first, second, third := ask(t, get, 1), ask(t, get, 2), ask(t, get, 3)
		assert.Equal(t, "number 1, of 1, after 2s", first())
		assert.Equal(t, "number 2, of 2, after 8s", second())
		assert.Equal(t, "number 3, of 3, after 14s", third())
	})
}

func TestAClientOfACameraNeedNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := slow(time.Minute)
		first := ask(t, get, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := get(ctx, 1)
		assert.ErrorIs(t, err, context.DeadlineExceeded, "while another is taken")
		assert.Equal(t, "number 1, of 1, after 2s", first())
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = get(ctx, 1)
		assert.ErrorIs(t, err, context.DeadlineExceeded, "while the camera rests")
	})
}
