// Other is another version of a program: its function "greet" knows a field that the program
// of the tests does not know, lacks one that it has, and it has no function "lost".
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

type person struct {
	Name  string
	Title string
}

var greet = actor.Func("skew/greet", func(_ context.Context, p person) (person, error) {
	return person{Name: "hello " + p.Name + p.Title, Title: "Dr."}, nil
})

// main starts an actor that others find, and ends when its input does.
func main() {
	actor.Serve()
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		if _, err := actor.Start(ctx, s, "other", actor.Expose(greet), actor.Findable()); err != nil {
			return err
		}
		fmt.Println("ready")
		_, _ = os.Stdin.Read(make([]byte, 1))
		return nil
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
