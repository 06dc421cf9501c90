package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
)

// numbers are what the clients have seen.
type numbers struct {
	connections, answers, late, broken, starts atomic.Int64
}

func (n *numbers) String() string {
	return fmt.Sprintf("%d connections, %d answers in time, %d too late, %d connections broken, the service started %d times",
		n.connections.Load(), n.answers.Load(), n.late.Load(), n.broken.Load(), n.starts.Load())
}

const shoppers = 8

// load keeps clients busy until the time is over.
func (d *Demo) load(ctx context.Context) error {
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		for i := range shoppers {
			s.Spawn(d.shopper(i), traigo.Name(fmt.Sprintf("shopper %d", i+1)))
		}
		return nil
	}, traigo.Name("shoppers"))
}

// shopper comes again and again. What breaks is a matter of the day, not a failure
// of the shopper.
func (d *Demo) shopper(i int) func(context.Context) error {
	return func(ctx context.Context) error {
		// The first come one after the other, so that one sees them come.
		_ = traigo.Sleep(ctx, time.Duration(i)*d.Duration/100)
		for over := time.After(d.Duration); ; {
			d.shop(ctx, i)
			select {
			case <-over:
				return nil
			default:
			}
			if err := traigo.Sleep(ctx, time.Duration(100+rand.IntN(300))*time.Millisecond); err != nil {
				return err
			}
		}
	}
}

var things = strings.Fields("gold tin salt copper silver wheat tea paper coffee silk wool iron")

// question is what shopper i asks next: one of them is clumsy.
func question(i int) string {
	if i == 2 && rand.IntN(5) == 0 {
		return "0xDEADBEEF"
	}
	return things[rand.IntN(len(things))]
}

// shop is one connection with a few questions.
func (d *Demo) shop(ctx context.Context, i int) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return // the service is being restarted
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	d.numbers.connections.Add(1)
	if err := d.ask(ctx, i, conn); err != nil {
		d.numbers.broken.Add(1)
	}
}

func (d *Demo) ask(ctx context.Context, i int, conn net.Conn) error {
	answers := bufio.NewScanner(conn)
	for range 2 + rand.IntN(5) {
		if _, err := fmt.Fprintln(conn, question(i)); err != nil {
			return err
		}
		if !answers.Scan() {
			return errors.Join(io.ErrUnexpectedEOF, answers.Err())
		}
		if answers.Text() == sorry {
			d.numbers.late.Add(1)
		} else {
			d.numbers.answers.Add(1)
		}
		if err := traigo.Sleep(ctx, time.Duration(rand.IntN(120))*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
