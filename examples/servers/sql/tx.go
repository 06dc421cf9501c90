package main

import (
	"context"
	"database/sql"
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// inTx calls work in a transaction and commits it. It rolls the transaction back if work
// fails or panics, or if ctx is done before the commit. Beyond that it does two things that
// a task needs, and is worth copying for them.
func inTx(ctx context.Context, db *sql.DB, work func(tx *sql.Tx) error) (err error) {
	defer func() {
		if ctx.Err() != nil && interrupted(err) {
			err = context.Cause(ctx)
		}
	}()

	// When ctx is done, database/sql rolls back on a goroutine of its own. Rollback does not
	// wait for it, but closing the connection does, so that the rollback has ended when the
	// task ends.
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

// interrupted reports whether err is due to the end of a context, but does not say so. A
// scope would take such an error for a failure.
func interrupted(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlite3.SQLITE_INTERRUPT
	}
	return errors.Is(err, sql.ErrTxDone)
}
