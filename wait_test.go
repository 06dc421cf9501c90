package traigo_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// serving is a task that runs until it is asked to stop, and for another d after that.
func serving(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-traigo.Stopping(ctx):
			return traigo.Sleep(ctx, d)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestShutdownFinalizesAndStopsAllBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		fork := s.Fork()
		grandchild := fork.Fork()
		tasks := []*traigo.Task{
			s.Spawn(serving(time.Second)),
			fork.Spawn(serving(2 * time.Second)),
			grandchild.Spawn(serving(3 * time.Second)),
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(ctx context.Context, nested *traigo.Scope) error {
					nested.Spawn(serving(4 * time.Second))
					return serving(time.Second)(ctx)
				})
			}),
			s.Spawn(func(ctx context.Context) error {
				derived, cancel := context.WithCancel(ctx)
				defer cancel()
				return serving(time.Second)(derived)
			}),
		}
		time.Sleep(time.Minute)
		outcome := make(chan error, 1)
		go func() { outcome <- s.Shutdown(t.Context()) }()
		synctest.Wait()
		for _, scope := range []*traigo.Scope{s, fork, grandchild} {
			assert.Equal(t, traigo.Finalizing, scope.State())
		}
		require.NoError(t, <-outcome)
		assert.Equal(t, time.Minute+4*time.Second, time.Since(start), "it waits for all")
		for _, task := range tasks {
			require.NoError(t, task.Err(), "asked, not canceled")
		}
	})
}

func TestShutdownStopsTheBodyToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			go func() { _ = s.Shutdown(context.Background()) }()
			<-traigo.Stopping(ctx)
			return ctx.Err()
		}))
	})
}

func TestShutdownCancelsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Name("s"))
		fork := s.Fork()
		var cause error
		fork.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			assert.Equal(t, time.Second, time.Since(start))
			cause = context.Cause(ctx)
			time.Sleep(2 * time.Second)
			return nil
		})
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBoom)
		defer cancel()
		require.ErrorIs(t, s.Shutdown(ctx), errBoom)
		assert.Equal(t, 3*time.Second, time.Since(start), "and waits")
		require.ErrorIs(t, cause, errBoom)
		assert.Equal(t, traigo.Closed, s.State())
		assert.True(t, closed(fork.Done()))
	})
}

func TestShutdownReturnsWhatWaitWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(failing(time.Second, errBoom))
		err := s.Shutdown(t.Context())
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, s.Wait(), err)
		assert.Equal(t, err, s.Shutdown(t.Context()), "also when it has closed")

		s = traigo.New(t.Context())
		s.Spawn(panicking("oops"), traigo.Name("work"))
		_ = requirePanic(t, "work", func() { _ = s.Shutdown(t.Context()) })
	})
}

func TestShutdownCancelsWhatNobodyAwaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		background := s.Spawn(untilCanceled, traigo.Awaited(false))
		s.Spawn(serving(time.Second))
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Equal(t, time.Second, time.Since(start))
		assert.True(t, closed(background.Done()))
	})
}

func TestStoppingIsClosedByShutdownOfThisScopeOrOneAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		sibling, fork := s.Fork(), s.Fork()
		require.NotNil(t, traigo.Stopping(fork.Context()))
		assert.False(t, closed(traigo.Stopping(fork.Context())))
		fork.Spawn(lasting(time.Second))
		fork.Finalize()
		assert.False(t, closed(traigo.Stopping(fork.Context())), "Finalize asks nobody to stop")

		require.NoError(t, fork.Shutdown(t.Context()))
		assert.True(t, closed(traigo.Stopping(fork.Context())))
		assert.False(t, closed(traigo.Stopping(sibling.Context())))
		assert.False(t, closed(traigo.Stopping(s.Context())))

		require.NoError(t, sibling.Close())
		require.NoError(t, s.Shutdown(t.Context()))
		assert.True(t, closed(traigo.Stopping(s.Context())))
	})
}

func TestStoppingIsClosedForWhatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			<-traigo.Stopping(ctx)
			s.Spawn(func(ctx context.Context) error {
				assert.True(t, closed(traigo.Stopping(ctx)))
				return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
					assert.True(t, closed(traigo.Stopping(ctx)))
					return nil
				})
			})
			return nil
		})
		synctest.Wait()
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

func TestStoppingIsClosedByCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		fork := s.Fork()
		stopping, below := traigo.Stopping(s.Context()), traigo.Stopping(fork.Context())
		require.NoError(t, s.Close())
		assert.True(t, closed(stopping))
		assert.True(t, closed(below))
	})
}

// A fork that a task opens during a Shutdown, to clean up with, stays open until the task
// ends it.
func TestShutdownLeavesLaterForksToWhoOpensThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			<-traigo.Stopping(ctx)
			synctest.Wait() // Shutdown has finalized all scopes that it has found
			fork := s.Fork()
			for range 3 {
				assert.NoError(t, fork.Spawn(succeed).Wait(ctx))
				time.Sleep(time.Second)
			}
			assert.Equal(t, traigo.Open, fork.State())
			return fork.Wait()
		})
		synctest.Wait()
		begin := time.Now()
		require.NoError(t, s.Shutdown(context.Background()))
		assert.Equal(t, 3*time.Second, time.Since(begin))
	})
}

// Shutdown finalizes the scopes that are open when it closes Stopping, and no others.
func TestShutdownDoesNotEndAForkThatOpensMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Observe(seeing(func(e traigo.Event) {
			if e.Kind == traigo.ScopeFinalized && e.Scope.Name() == "main" {
				time.Sleep(time.Second)
			}
		})), traigo.Name("main"))
		s.Spawn(func(ctx context.Context) error {
			<-traigo.Stopping(ctx)
			fork := s.Fork()
			time.Sleep(2 * time.Second)
			assert.NoError(t, fork.Spawn(succeed).Wait(ctx))
			return fork.Wait()
		})
		synctest.Wait()
		require.NoError(t, s.Shutdown(context.Background()))
	})
}

func TestShutdownEndsLaterForksThatNobodyEnds(t *testing.T) {
	for name, leave := range map[string]func(s, fork *traigo.Scope){
		"empty":      func(_, _ *traigo.Scope) {},
		"working":    func(_, fork *traigo.Scope) { fork.Spawn(lasting(time.Second)) },
		"with forks": func(_, fork *traigo.Scope) { fork.Fork().Fork() },
		"background": func(_, fork *traigo.Scope) { fork.Spawn(untilCanceled, traigo.Awaited(false)) },
		"one in it":  func(_, fork *traigo.Scope) { fork.Spawn(func(context.Context) error { fork.Fork(); return nil }) },
		"one beside it": func(s, fork *traigo.Scope) {
			fork.Spawn(func(context.Context) error { time.Sleep(time.Second); s.Fork(); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				s.Spawn(func(ctx context.Context) error {
					<-traigo.Stopping(ctx)
					leave(s, s.Fork())
					return nil
				})
				synctest.Wait()
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errLate)
				defer cancel()
				require.NoError(t, s.Shutdown(ctx))
				require.NoError(t, s.CheckInvariants())
			})
		})
	}
}

func TestStoppingIsNilWithoutAScope(t *testing.T) {
	assert.Nil(t, traigo.Stopping(t.Context()))
}

// A task that calls Shutdown of a scope that it is part of gets an error, because waiting
// would be a deadlock. The scope is shut down all the same.
func TestShutdownByAPartOfTheScopeIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			assert.ErrorContains(t, s.Shutdown(ctx), `Shutdown of scope "main" by a part of it`)
			s.Fork(traigo.Name("below")).Spawn(func(ctx context.Context) error {
				assert.ErrorContains(t, s.Shutdown(ctx), "a part of it")
				return nil
			})
			return nil
		}, traigo.Name("main")))
	})
}

// The context of a scope that New has opened does not say that its holder is part of the
// scope: any code may have it.
func TestShutdownWithTheContextOfTheScopeIsNoMistake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error { <-traigo.Stopping(ctx); return nil })
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
	})
}

func TestWaitingForOneselfIsAnError(t *testing.T) {
	type key struct{}
	rows := []struct {
		name string
		wait func(ctx context.Context, self *traigo.Future[int]) error
	}{
		{"Wait", func(ctx context.Context, self *traigo.Future[int]) error { return self.Task().Wait(ctx) }},
		{"Await", func(ctx context.Context, self *traigo.Future[int]) error {
			_, err := self.Await(ctx)
			return err
		}},
		{"derived context", func(ctx context.Context, self *traigo.Future[int]) error {
			ctx, cancel := context.WithTimeout(context.WithValue(ctx, key{}, 1), time.Hour)
			defer cancel()
			return self.Task().Wait(ctx)
		}},
		{"body of Run in the task", func(ctx context.Context, self *traigo.Future[int]) error {
			return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return self.Task().Wait(ctx) })
		}},
		{"task of a Run in the task", func(ctx context.Context, self *traigo.Future[int]) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(func(ctx context.Context) error { return self.Task().Wait(ctx) })
				return nil
			})
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := traigo.New(t.Context())
				var (
					self  *traigo.Future[int]
					ready = make(chan struct{})
				)
				self = traigo.Async(s, func(ctx context.Context) (int, error) {
					<-ready
					assert.Error(t, row.wait(ctx, self))
					return 42, nil
				})
				close(ready)
				value, err := self.Await(t.Context())
				require.NoError(t, err)
				assert.Equal(t, 42, value)
				assert.Zero(t, time.Since(start))
				require.NoError(t, s.Wait())
			})
		})
	}
}

// A body that waits for its own scope does so for ever. So these tests leave a goroutine
// behind, which their bubbles report.
func TestLoggingOfABodyThatWaitsForItsScope(t *testing.T) {
	for name, row := range map[string]struct {
		open func(t *testing.T, logger traigo.ScopeOption) context.Context
		want string
	}{
		"of a root": {func(t *testing.T, logger traigo.ScopeOption) context.Context {
			t.Helper()
			return traigo.New(t.Context(), traigo.Name("root"), logger).Context()
		}, `the body of "root/circle"`},
		"below a root that has closed": {func(t *testing.T, logger traigo.ScopeOption) context.Context {
			t.Helper()
			root := traigo.New(t.Context(), logger)
			require.NoError(t, root.Close())
			return context.WithoutCancel(root.Context())
		}, `the body of "scope#`},
	} {
		t.Run(name, func(t *testing.T) {
			left := raised(func() {
				synctest.Test(t, func(t *testing.T) {
					book := newRecords()
					ctx := row.open(t, traigo.Logger(book.logger()))
					go func() {
						_ = traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error { return s.Wait() }, traigo.Name("circle"))
					}()
					requireOneWarning(t, book, row.want)
				})
			})
			assert.Contains(t, fmt.Sprint(left), "blocked goroutines remain")
		})
	}
}

func TestLoggingOfAWaitForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Name("circle"), traigo.Logger(book.logger()))
		s.Spawn(func(ctx context.Context) error {
			_ = traigo.Current(ctx).Wait()
			return nil
		}, traigo.CancelTimeout(time.Second))
		time.Sleep(time.Hour)
		synctest.Wait()
		warned := book.from(slog.LevelWarn)
		assert.Len(t, warned, 1, "once")
		for _, r := range warned {
			assert.Equal(t, slog.LevelWarn, r.Level)
			assert.Contains(t, r.Text, "circle")
		}
		// When the task has been given up the scope closes, so that its Wait returns.
		require.Len(t, stuckTasks(s.Close()), 1)
	})
}

func TestLoggingOfWaitsOfOthersIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		other := s.Fork()
		other.Spawn(lasting(time.Hour))
		s.Spawn(func(context.Context) error { return other.Wait() })
		require.NoError(t, s.Wait())
		assert.Empty(t, book.from(slog.LevelWarn))
	})
}

// Tasks that wait for each other do so for ever: the one that closes the circle gets an
// error that names it.
func TestWaitingInACircleIsAnError(t *testing.T) {
	type waiters = func(wait func(ctx context.Context) error) func(context.Context) error
	plain := func(wait func(context.Context) error) func(context.Context) error { return wait }
	for name, through := range map[string]waiters{
		"directly": plain,
		"in a Run": func(wait func(context.Context) error) func(context.Context) error {
			return func(ctx context.Context) error {
				return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return wait(ctx) })
			}
		},
		"in a task of a Run": func(wait func(context.Context) error) func(context.Context) error {
			return func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(wait)
					return nil
				})
			}
		},
		"with a derived context": func(wait func(context.Context) error) func(context.Context) error {
			return func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, time.Hour)
				defer cancel()
				return wait(ctx)
			}
		},
	} {
		for _, n := range []int{2, 3} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errLate)
					defer cancel()
					s := traigo.New(ctx, traigo.Name("s"))
					tasks := make([]*traigo.Future[int], n)
					begin, begun := newRelease()
					for i := range tasks {
						wait := func(ctx context.Context) error {
							deafTo(begin)
							_, err := tasks[(i+1)%n].Await(ctx)
							return err
						}
						if i == 0 {
							wait = through(wait)
						}
						tasks[i] = traigo.Async(s, func(ctx context.Context) (int, error) { return 0, wait(ctx) }, traigo.Name(fmt.Sprintf("t%d", i)), traigo.Bubble(true))
					}
					begun()
					err := s.Wait()
					assert.Zero(t, time.Since(start))
					require.Error(t, err)
					require.NotErrorIs(t, err, errLate)
					assert.True(t, mentions(err.Error(), "s/t0", "s/t1"), err.Error())
				})
			})
		}
	}
}

// Of the forks that a task opens during a Shutdown one may spawn into another, or into one
// that is opened beside it.
func TestShutdownLetsInTheSpawnOnTheNextLine(t *testing.T) {
	for name, use := range map[string]func(ctx context.Context, s *traigo.Scope) error{
		"beside it": func(ctx context.Context, s *traigo.Scope) error {
			return s.Fork().Spawn(succeed).Wait(ctx)
		},
		"later": func(ctx context.Context, s *traigo.Scope) error {
			time.Sleep(time.Second)
			fork := s.Fork()
			defer fork.Finalize()
			return fork.Spawn(succeed).Wait(ctx)
		},
		"of a fork that works": func(_ context.Context, s *traigo.Scope) (err error) {
			works, idle := s.Fork(), s.Fork()
			works.Spawn(func(ctx context.Context) error {
				time.Sleep(time.Second)
				return idle.Spawn(succeed).Wait(ctx)
			})
			return nil
		},
	} {
		for where, open := range map[string]func(s *traigo.Scope) *traigo.Scope{
			"a task":           func(s *traigo.Scope) *traigo.Scope { return s },
			"a task of a fork": func(s *traigo.Scope) *traigo.Scope { return s.Fork() },
		} {
			t.Run(name+"/"+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var st story
					s := traigo.New(t.Context(), traigo.Observe(&st))
					var err error
					open(s).Spawn(func(ctx context.Context) error {
						<-traigo.Stopping(ctx)
						synctest.Wait()
						err = use(ctx, s)
						return nil
					})
					synctest.Wait()
					require.NoError(t, s.Shutdown(t.Context()))
					require.NoError(t, err)
					for _, e := range st.events(traigo.TaskEnded) {
						require.NoError(t, e.Err)
					}
				})
			})
		}
	}
}

// Below the Runs and News of a scope there are forks too.
func TestShutdownReachesForksBelowRunsAndNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		inNew := traigo.New(s.Context()).Fork()
		inNew.Spawn(serving(0))
		s.Spawn(lasting(time.Second)) // or s would cancel the scope of New as soon as its own tasks had ended
		var inRun *traigo.Scope
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, below *traigo.Scope) error {
				inRun = below.Fork()
				inRun.Spawn(serving(time.Second)) // so that the end of s does not cancel the New
				return nil
			})
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errLate)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
		for _, fork := range []*traigo.Scope{inNew, inRun} {
			assert.True(t, closed(fork.Done()))
			require.NoError(t, fork.Err(), "it had ended by itself")
		}
	})
}

// What opens inside a Shield, to clean up with, has not heard of the end of its scope.
func TestShutdownIsNotHeardOfInsideAShield(t *testing.T) {
	for name, row := range map[string]struct {
		told func(ctx context.Context) <-chan struct{}
		end  func(s *traigo.Scope) error
	}{
		"Shutdown": {traigo.Stopping, func(s *traigo.Scope) error { return s.Shutdown(context.Background()) }},
		"Close":    {context.Context.Done, (*traigo.Scope).Close},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				shielded := false
				s.Spawn(func(ctx context.Context) error {
					<-row.told(ctx)
					return traigo.Shield(ctx, time.Minute, func(ctx context.Context) error {
						return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
							shielded = true
							assert.False(t, closed(traigo.Stopping(ctx)))
							works, idle := s.Fork(), s.Fork()
							works.Spawn(func(ctx context.Context) error {
								time.Sleep(time.Second)
								defer idle.Finalize()
								return idle.Spawn(succeed).Wait(ctx)
							})
							works.Finalize()
							return works.Wait()
						})
					})
				})
				synctest.Wait()
				require.NoError(t, row.end(s))
				assert.True(t, shielded)
			})
		})
	}
}

// Neither has what had opened there before the Shutdown.
func TestShutdownDoesNotReachIntoAShield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		begin := time.Now()
		s.Spawn(func(ctx context.Context) error {
			return traigo.Shield(ctx, time.Hour, func(ctx context.Context) error {
				return traigo.Run(ctx, func(ctx context.Context, below *traigo.Scope) error {
					fork := below.Fork()
					time.Sleep(time.Minute)
					assert.False(t, closed(traigo.Stopping(ctx)))
					assert.Equal(t, traigo.Open, fork.State())
					return fork.Wait()
				})
			})
		})
		synctest.Wait()
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Equal(t, time.Minute, time.Since(begin))
	})
}

func TestBlockingGivesTheCallsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := new(story)
		s := traigo.New(t.Context(), traigo.Observe(seen))
		s.Spawn(traigo.Blocking(func() error {
			time.Sleep(time.Second)
			return errBoom
		}), traigo.Name("call"))
		err := s.Wait()
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, "call", as[*traigo.TaskError](t, err).Task)
		assert.Empty(t, seen.events(traigo.TaskAbandoned))
	})
}

func TestBlockingNeedsNoScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.ErrorIs(t, traigo.Blocking(func() error { return errBoom })(t.Context()), errBoom)

		release, free := newRelease()
		defer free()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, traigo.Blocking(func() error { deafTo(release); return nil })(ctx), context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestBlockingIsAbandonedOnCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := new(story)
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(seen))
		task := s.Spawn(traigo.Blocking(func() error { deafTo(release); return nil }), traigo.Name("call"))
		synctest.Wait()
		require.Len(t, s.Snapshot().Tasks, 1)
		assert.Equal(t, "running", s.Snapshot().Tasks[0].State)

		start := time.Now()
		task.Cancel(nil)
		<-task.Done()
		synctest.Wait()
		assert.Zero(t, time.Since(start), "the caller does not wait")
		assert.Equal(t, traigo.Open, s.State())

		abandoned := seen.events(traigo.TaskAbandoned)
		require.Len(t, abandoned, 1)
		assert.Same(t, task, abandoned[0].Task)

		time.Sleep(time.Hour)
		tasks := s.Snapshot().Tasks
		require.Len(t, tasks, 1, "reported until it ends")
		assert.Equal(t, "abandoned", tasks[0].State)
		assert.Equal(t, "s/call", tasks[0].Path)

		free()
		synctest.Wait()
		assert.Empty(t, s.Snapshot().Tasks)
		require.NoError(t, s.Close())
	})
}

func TestBlockingDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := new(story)
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.Observe(seen))
		s.Spawn(traigo.Blocking(func() error { deafTo(release); return nil }))
		synctest.Wait()
		start := time.Now()
		require.NoError(t, s.Close())
		assert.Zero(t, time.Since(start))
		assert.Len(t, seen.events(traigo.TaskAbandoned), 1)
		tasks := s.Snapshot().Tasks
		require.Len(t, tasks, 1, "it is still there, and must be seen")
		assert.Equal(t, "abandoned", tasks[0].State)
		free()
		synctest.Wait()
		assert.Empty(t, s.Snapshot().Tasks)
	})
}

func TestBlockingCallThatPanicsAfterItWasAbandonedIsLogged(t *testing.T) {
	for name, row := range map[string]struct {
		end   func() error
		level slog.Level
	}{
		"panic": {func() error { panic(errLate) }, slog.LevelError},
		"error": {func() error { return errLate }, slog.LevelWarn},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				release := make(chan struct{})
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				s.Spawn(traigo.Blocking(func() error { <-release; return row.end() }))
				synctest.Wait()
				require.NoError(t, s.Close())
				close(release)
				synctest.Wait()
				assert.Len(t, book.at(row.level, "late"), 1)
			})
		})
	}
}

func TestBlockingDoesNotBeginUnderAContextThatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		begun := 0
		call := traigo.Blocking(func() error { begun++; return nil })
		task := s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return call(ctx)
		})
		synctest.Wait()
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		require.ErrorIs(t, task.Err(), errBoom, "the cause")
		canceled, cancel := context.WithCancelCause(t.Context())
		cancel(errOuter)
		assert.Equal(t, errOuter, call(canceled), "outside of any scope")
		synctest.Wait()
		assert.Zero(t, begun)
	})
}

// Otherwise more calls would run at once than the limit says.
func TestBlockingKeepsTheSlotOfItsTaskUntilTheCallHasEnded(t *testing.T) {
	inside := map[string]func(call func(context.Context) error) func(context.Context) error{
		"in the task": func(call func(context.Context) error) func(context.Context) error { return call },
		"in a Run of the task": func(call func(context.Context) error) func(context.Context) error {
			return func(ctx context.Context) error {
				return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return call(ctx) })
			}
		},
	}
	for name, wrapped := range inside {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), traigo.Limit(1))
				task := s.Spawn(wrapped(traigo.Blocking(func() error { deafTo(release); return nil })))
				synctest.Wait()
				task.Cancel(nil)
				synctest.Wait()
				assert.Error(t, task.Err(), "the task has ended")
				assert.Equal(t, traigo.Abandoned, task.State())
				_, ok := s.TrySpawn(succeed)
				assert.False(t, ok, "and its call still runs")
				assert.Equal(t, 1, s.Snapshot().Limit)

				spawned := make(chan *traigo.Task, 1)
				go func() { spawned <- s.Spawn(succeed) }()
				synctest.Wait()
				assert.Empty(t, spawned)
				free()
				require.NoError(t, (<-spawned).Wait(t.Context()))
				assert.Equal(t, traigo.Ended, task.State())
				require.NoError(t, s.Wait())
				require.NoError(t, s.CheckInvariants())
			})
		})
	}
}

// A closed scope stays in the snapshot of its parent as long as a call of it runs.
func TestBlockingThatIsAbandonedIsInTheSnapshotOfItsOwnScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		root := traigo.New(t.Context(), traigo.Name("root"))
		middle := root.Fork(traigo.Name("middle"))
		below := middle.Fork(traigo.Name("below"))
		below.Spawn(traigo.Blocking(func() error { deafTo(release); return nil }), traigo.Name("call"))
		synctest.Wait()
		require.NoError(t, middle.Close())

		shot := root.Snapshot()
		require.Len(t, shot.Scopes, 1)
		require.Len(t, shot.Scopes[0].Scopes, 1, "%s", shot)
		assert.Equal(t, traigo.Closed, shot.Scopes[0].State)
		shot = shot.Scopes[0].Scopes[0]
		assert.Equal(t, traigo.Closed, shot.State)
		require.Len(t, shot.Tasks, 1)
		assert.Equal(t, "abandoned", shot.Tasks[0].State)
		assert.Equal(t, "root/middle/below/call", shot.Tasks[0].Path)

		free()
		synctest.Wait()
		assert.Empty(t, root.Snapshot().Scopes)
		require.NoError(t, root.Wait())
	})
}
