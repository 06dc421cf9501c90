// Package serve puts servers into a scope: the requests of an http.Server are tasks, and a
// signal shuts the program down in two steps.
//
//	HTTP          serves a listener as a task, and runs each request as a task below it
//	RequestScope  the scope of the requests, for code that has only the *http.Request
//	Signals       the first signal begins a shutdown of a scope, the second cancels it
//	Main          Run under Signals, with the exit status that a shell expects; for main
//
// A whole program is this:
//
//	func main() {
//		serve.Main(func(ctx context.Context, s *traigo.Scope) error {
//			l, err := net.Listen("tcp", "127.0.0.1:8080")
//			if err != nil {
//				return err
//			}
//			serve.HTTP(s, &http.Server{Handler: routes()}, l)
//			return nil
//		})
//	}
//
// At Ctrl-C it accepts no more connections, lets the requests end that run, then whatever
// they have left in their scope, and exits with status 0. After the grace period, or at
// the second Ctrl-C, it cancels what is left, and the contexts of the requests say why.
package serve
