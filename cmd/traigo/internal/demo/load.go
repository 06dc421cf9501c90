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

// numbers count connections, answers, and starts of the service.
type numbers struct {
	connections, answers, late, broken, starts atomic.Int64
}

func (n *numbers) String() string {
	return fmt.Sprintf("%d connections, %d answers in time, %d too late, %d connections broken, the service started %d times",
		n.connections.Load(), n.answers.Load(), n.late.Load(), n.broken.Load(), n.starts.Load())
}

const shoppers = 8 // clients

// load runs the clients until the duration is over.
func (d *Demo) load(ctx context.Context) error {
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		for i := range shoppers {
			s.Spawn(d.shopper(i), traigo.Name(fmt.Sprintf("shopper %d", i+1)))
		}
		return nil
	}, traigo.Name("shoppers"))
}

// shopper returns client i, which opens one connection after the other. A connection that
// breaks is counted, and is no failure of the client.
func (d *Demo) shopper(i int) func(context.Context) error {
	return func(ctx context.Context) error {
		// The clients start one after the other, so that the tree is seen to grow.
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

// question returns what client i asks next. One of the clients sends bad requests.
func question(i int) string {
	if i == 2 && rand.IntN(5) == 0 {
		return "0xDEADBEEF"
	}
	return things[rand.IntN(len(things))]
}

// shop opens a connection, and asks a few questions.
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

// ask asks a few questions on a connection.
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
