package main

import (
	"context"
	"database/sql"
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// inTx does work in a transaction: committed, or rolled back if work fails,
// panics, or ctx is done before the commit. It is worth copying for two things
// that matter to a task.
func inTx(ctx context.Context, db *sql.DB, work func(tx *sql.Tx) error) (err error) {
	defer func() {
		if ctx.Err() != nil && interrupted(err) {
			err = context.Cause(ctx)
		}
	}()

	// When ctx is done, database/sql rolls back on a goroutine of its own, which
	// our Rollback does not wait for. To close the connection does: a task that
	// has ended leaves nothing behind.
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()

	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// interrupted knows the errors that are the end of a context and do not say so.
// A scope takes them for failures.
func interrupted(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlite3.SQLITE_INTERRUPT
	}
	return errors.Is(err, sql.ErrTxDone)
}
