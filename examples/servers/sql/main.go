// Sql moves money between accounts. Each transfer is a task with a transaction in it.
//
//	cd examples/servers && go run ./sql
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // a driver without cgo

	"github.com/traigo/traigo"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := open(ctx, filepath.Join(dir, "ledger.db"))
	if err != nil {
		return err
	}
	defer l.close()

	fmt.Println("transfers:", l.move(ctx, transfer{"ann", "bob", 30}, transfer{"bob", "eve", 10}, transfer{"eve", "ann", 5}))
	fmt.Println("transfers:", l.move(ctx, transfer{"ann", "bob", 1000}))
	fmt.Println("interest: ", l.addInterest(ctx, 10))
	return l.print(ctx)
}

// A ledger has one connection for writes, since SQLite allows one writer at a time. So a
// writer waits for the connection, in database/sql, where the end of its context ends the
// wait. It would not reliably end the wait for a lock of SQLite.
type ledger struct{ reads, writes *sql.DB }

func open(ctx context.Context, path string) (l ledger, err error) {
	source := "file:" + path + "?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(1000)"
	if l.writes, err = sql.Open("sqlite", source); err != nil {
		return l, err
	}
	l.writes.SetMaxOpenConns(1)
	if l.reads, err = sql.Open("sqlite", source); err != nil {
		return l, errors.Join(err, l.writes.Close())
	}
	_, err = l.writes.ExecContext(ctx, `
		CREATE TABLE account (name TEXT PRIMARY KEY, money INTEGER NOT NULL CHECK (money >= 0));
		INSERT INTO account VALUES ('ann', 100), ('bob', 100), ('eve', 100)`)
	if err != nil {
		return l, errors.Join(err, l.close())
	}
	return l, nil
}

func (l ledger) close() error { return errors.Join(l.reads.Close(), l.writes.Close()) }

type transfer struct {
	from, to string
	money    int
}

// move makes each transfer completely or not at all. The first one that fails cancels the
// others: those that run are rolled back, and those that are committed stay.
func (l ledger) move(ctx context.Context, transfers ...transfer) error {
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		for _, t := range transfers {
			s.Spawn(func(ctx context.Context) error {
				return inTx(ctx, l.writes, func(tx *sql.Tx) error {
					if err := change(ctx, tx, t.to, +t.money); err != nil {
						return err
					}
					return change(ctx, tx, t.from, -t.money)
				})
			}, traigo.Name(t.from+" to "+t.to))
		}
		return nil
	}, traigo.Name("move"), traigo.Limit(8))
}

// addInterest spawns a task for each row of a table of any size. It reads no faster than
// the tasks end, because Spawn blocks when the limit is reached.
func (l ledger) addInterest(ctx context.Context, percent int) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		rows, err := l.reads.QueryContext(ctx, "SELECT name FROM account")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() { // false once ctx, the context of the scope, is done
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			s.Spawn(func(ctx context.Context) error {
				return inTx(ctx, l.writes, func(tx *sql.Tx) error {
					return updateOne(ctx, tx, "UPDATE account SET money = money + money * ? / 100 WHERE name = ?", percent, name)
				})
			}, traigo.Name(name))
		}
		return rows.Err()
	}, traigo.Name("interest"), traigo.Limit(8))
}

func change(ctx context.Context, tx *sql.Tx, name string, money int) error {
	return updateOne(ctx, tx, "UPDATE account SET money = money + ? WHERE name = ?", money, name)
}

func updateOne(ctx context.Context, tx *sql.Tx, update string, by int, name string) error {
	result, err := tx.ExecContext(ctx, update, by, name)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fmt.Errorf("no account for %s", name)
}

func (l ledger) print(ctx context.Context) error {
	rows, err := l.reads.QueryContext(ctx, "SELECT name, money FROM account ORDER BY name")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var money int
		if err := rows.Scan(&name, &money); err != nil {
			return err
		}
		fmt.Println(name, money)
	}
	return rows.Err()
}
