package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func Example() {
	if err := run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// transfers: <nil>
	// transfers: scope "move": task "ann to bob": constraint failed: CHECK constraint failed: money >= 0 (275)
	// interest:  <nil>
	// ann 82
	// bob 132
	// eve 115
}

var errBoom = errors.New("boom")

// long is a query that takes a second. It is not endless, because the driver loses an
// interrupt that comes just before a query begins (up to v1.60.1).
const long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000000) SELECT count(*) FROM n"

func openLedger(t *testing.T) ledger {
	t.Helper()
	l, err := open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.close()) })
	return l
}

func (l ledger) money(t *testing.T, where string) (sum int) {
	t.Helper()
	require.NoError(t, l.reads.QueryRowContext(t.Context(), "SELECT sum(money) FROM account WHERE "+where).Scan(&sum))
	return sum
}

// inUse returns the number of connections that have not been released.
func (l ledger) inUse() int { return l.reads.Stats().InUse + l.writes.Stats().InUse }

func TestAScopeThatIsCanceledRollsBack(t *testing.T) {
	l := openLedger(t)
	for range 20 {
		changed := make(chan struct{})
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				return inTx(ctx, l.writes, func(tx *sql.Tx) error {
					if err := change(ctx, tx, "ann", 50); err != nil {
						return err
					}
					close(changed)
					var n int
					return tx.QueryRowContext(ctx, long).Scan(&n)
				})
			}, traigo.Name("long"))
			s.Spawn(func(ctx context.Context) error {
				<-changed
				return errBoom
			}, traigo.Name("boom"))
			return nil
		}, traigo.Name("two"))

		assert.Zero(t, l.inUse(), "the rollback has ended with the task")
		assert.EqualError(t, err, `scope "two": task "boom": boom`, "and was no failure of its own")
		assert.Equal(t, 100, l.money(t, "name = 'ann'"))
	}
}

func TestATransactionEndsWithItsContext(t *testing.T) {
	l := openLedger(t)
	for range 20 {
		ctx, cancel := context.WithCancelCause(t.Context())
		err := inTx(ctx, l.writes, func(tx *sql.Tx) error {
			err := change(ctx, tx, "ann", 50)
			cancel(errBoom)
			for err == nil { // until database/sql has rolled the transaction back
				err = change(context.WithoutCancel(ctx), tx, "ann", 1)
			}
			assert.ErrorIs(t, err, sql.ErrTxDone)
			return nil // so that inTx tries to commit
		})
		assert.Zero(t, l.inUse())
		assert.Equal(t, errBoom, err)
	}
	assert.Equal(t, 100, l.money(t, "name = 'ann'"))
}

func TestWaitingForOnesTurnEndsWithTheTask(t *testing.T) {
	l := openLedger(t)
	err := inTx(t.Context(), l.writes, func(tx *sql.Tx) error {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errBoom)
		defer cancel()
		err := l.move(ctx, transfer{"ann", "bob", 1}, transfer{"bob", "ann", 1})
		assert.ErrorIs(t, err, errBoom, "and not only when this transaction has ended")
		return change(t.Context(), tx, "eve", 1)
	})
	assert.NoError(t, err)
	assert.Zero(t, l.inUse())
	assert.Equal(t, 301, l.money(t, "true"))
}

func TestAPanicRollsBack(t *testing.T) {
	l := openLedger(t)
	err := traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
		return inTx(ctx, l.writes, func(tx *sql.Tx) error {
			assert.NoError(t, change(ctx, tx, "ann", 50))
			panic("what a bug")
		})
	}, traigo.PanicAsError())
	assert.ErrorContains(t, err, "what a bug")
	assert.Zero(t, l.inUse())
	assert.Equal(t, 100, l.money(t, "name = 'ann'"))
}

func TestTheFirstTransferThatFailsSpoilsNoOther(t *testing.T) {
	l := openLedger(t)
	transfers := []transfer{{"ann", "nobody", 1}}
	for range 100 {
		transfers = append(transfers, transfer{"bob", "eve", 1})
	}
	err := l.move(t.Context(), transfers...)
	assert.EqualError(t, err, `scope "move": task "ann to nobody": no account for nobody`)
	assert.Zero(t, l.inUse())
	assert.Equal(t, 100, l.money(t, "name = 'ann'"))
	assert.Equal(t, 200, l.money(t, "name <> 'ann'"), "each of them is whole, or not there")
}

func TestATaskForEachOfManyRows(t *testing.T) {
	l := openLedger(t)
	for i := range 200 {
		_, err := l.writes.ExecContext(t.Context(), "INSERT INTO account VALUES (?, 100)", fmt.Sprint("guest ", i))
		require.NoError(t, err)
	}
	assert.NoError(t, l.addInterest(t.Context(), 3))
	assert.Equal(t, 203*103, l.money(t, "true"))
	assert.Equal(t, 203*103, l.money(t, "money = 103"), "each once")

	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(errBoom)
	assert.ErrorIs(t, l.addInterest(canceled, 3), errBoom)
	assert.Zero(t, l.inUse())
}

func TestStressCanceledAnywhere(t *testing.T) {
	l := openLedger(t)
	_, err := l.writes.ExecContext(t.Context(), "UPDATE account SET money = 100000")
	require.NoError(t, err)
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	names := []string{"ann", "bob", "eve"}
	for range 50 {
		var transfers []transfer
		for range 10 {
			transfers = append(transfers, transfer{names[random.IntN(3)], names[random.IntN(3)], random.IntN(20)})
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Duration(random.IntN(int(5*time.Millisecond))), errBoom)
		err := l.move(ctx, transfers...)
		cancel()
		assert.Zero(t, l.inUse())
		assert.Equal(t, 300000, l.money(t, "true"))
		if err != nil {
			var out *traigo.Error
			require.ErrorAs(t, err, &out)
			assert.ErrorIs(t, out.Err, errBoom)
			assert.Empty(t, out.Others, "nothing but the end of ctx")
		}
	}
}
