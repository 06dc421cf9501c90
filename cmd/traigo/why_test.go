package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// recorded runs a program in a bubble, where its times are exact, and returns its recording.
func recorded(t *testing.T, program func(ctx context.Context, s *traigo.Scope) error) (log string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		rec := record.New(&b)
		_ = traigo.Run(t.Context(), program, traigo.Name("app"), traigo.Observe(rec), traigo.CancelTimeout(time.Second))
		require.NoError(t, rec.Close())
		time.Sleep(time.Hour) // what was given up ends, after the recording
		log = b.String()
	})
	return log
}

func sleeps(d time.Duration, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		if canceled := traigo.Sleep(ctx, d); canceled != nil {
			return canceled
		}
		return err
	}
}

func whyOf(t *testing.T, log string, args ...string) string {
	t.Helper()
	code, stdout, stderr := called(t, log, append([]string{"why"}, args...)...)
	assert.Zero(t, code, stderr)
	return stdout
}

func TestWhyOfARace(t *testing.T) {
	log := recorded(t, func(ctx context.Context, _ *traigo.Scope) error {
		_, err := traigo.Race(ctx,
			func(ctx context.Context) (int, error) { return 1, traigo.Sleep(ctx, 300*time.Millisecond) },
			func(ctx context.Context) (int, error) { return 2, traigo.Sleep(ctx, time.Hour) })
		return err
	})
	assert.Regexp(t, `^task app/Race/\S+\[1\] \(id \d+\.2\): spawned at 0 s, stopped at 300 ms, after 300 ms\.

Why:
  1\. \S+\[1\] was told to end at 300 ms, because its scope ended: Race\.
  2\. Race ended at 300 ms: task \S+\[0\] won\.
$`, whyOf(t, log, "-id", idOf(t, log, "Race")+".2", "-"))
}

// idOf returns the ID of the scope with a path.
func idOf(t *testing.T, log, path string) string {
	t.Helper()
	found := regexp.MustCompile(`\(id (\d+)\)`).FindStringSubmatch(whyOf(t, log, "-", path))
	require.NotNil(t, found)
	return found[1]
}

func TestWhyOfAServerThatFails(t *testing.T) {
	log := recorded(t, func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(sleeps(2*time.Second, errors.New("too many open files")), traigo.Name("accept"), traigo.Master(true))
		for range 3 {
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(sleeps(time.Hour, nil), traigo.Name("read"))
					return nil
				}, traigo.Name("session"))
			}, traigo.Name("conn"))
		}
		return nil
	})
	assert.Regexp(t, `^3 have this path: 3 canceled\. There is most to say of the first; -id picks another: \d+\.1, \d+\.1

task app/session/read \(id \d+\.1\): spawned at 0 s, canceled at 2 s, after 2 s\.

Why:
  1\. read was told to end at 2 s, because its scope ended: session\.
  2\. session ended at 2 s, because the scope above did: app\.
  3\. app ended at 2 s: task accept returned “too many open files”\.
$`, whyOf(t, log, "-", "session/read"))
	assert.Contains(t, whyOf(t, log, "-", "accept"), "\nWhat ended because of it:\n  It ended app at 2 s.\n")
	code, _, stderr := called(t, log, "why", "-", "session/raed")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, `no scope or task with the path "session/raed"`)
	code, _, stderr = called(t, log, "why", "-", "conm")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "; similar are\n  app/conn\n")
	code, _, stderr = called(t, log, "why", "-id", "none", "-")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, `no scope or task with the ID "none"`)
}

// The first cause is told, however long the chain is that leads there.
func TestWhyOfALongChain(t *testing.T) {
	const depth = 60
	var level func(n int) func(ctx context.Context, s *traigo.Scope) error
	level = func(n int) func(ctx context.Context, s *traigo.Scope) error {
		return func(ctx context.Context, s *traigo.Scope) error {
			if n == depth {
				s.Spawn(sleeps(time.Second, errors.New("bottom reached")), traigo.Name("work"))
				return nil
			}
			return traigo.Run(ctx, level(n+1), traigo.Name(fmt.Sprintf("level %d", n+1)))
		}
	}
	log := recorded(t, level(1))
	assert.Regexp(t, `
Why:
  1\. app ended at 1 s: its body \(why_test\.go:\d+\) returned “bottom reached”\.
  2\. That is the failure of a scope below: level 2\.
  3\. .*
  4\. .*
  5\. level 3 ended .*
     … and 109 steps more, down to
  115\. level 58 ended .*
  116\. .*
  117\. level 59 ended .*
  118\. That is the failure of a scope below: level 60\.
  119\. level 60 ended at 1 s: task work returned “bottom reached”\.
$`, whyOf(t, log, "-", "app"))
	middle := whyOf(t, log, "-", "level 55")
	assert.Contains(t, middle, "  11. level 60 ended at 1 s: task work returned “bottom reached”.\n")
	assert.NotContains(t, middle, "…  and")
	assert.Contains(t, middle, "  6. That is")
}

func TestWhyOfATimeout(t *testing.T) {
	log := recorded(t, func(ctx context.Context, s *traigo.Scope) error {
		quote := s.Fork(traigo.Name("quote"), traigo.Timeout(400*time.Millisecond))
		quote.Spawn(sleeps(time.Hour, nil), traigo.Name("market"))
		_ = quote.Wait()
		return traigo.Sleep(ctx, time.Second)
	})
	assert.Contains(t, whyOf(t, log, "-", "quote/market"), "  2. quote ended at 400 ms: its deadline passed.\n")
	assert.Contains(t, whyOf(t, log, "-", "app"), "): opened at 0 s, ended well at 1.4 s, after 1.4 s.\n")
}

func TestWhyOfATaskThatDoesNotEnd(t *testing.T) {
	log := recorded(t, func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error { time.Sleep(time.Minute); return nil }, traigo.Name("deaf"))
		time.Sleep(time.Second)
		s.Cancel(nil)
		return nil
	})
	text := whyOf(t, log, "-", "deaf")
	assert.Contains(t, text, "): spawned at 0 s, given up, and still running at 2 s, when the recorder was closed, after 2 s.")
	assert.Contains(t, text, "it is sleeping at why_test.go:")
	assert.Contains(t, text, "  1. deaf was told to end at 1 s, because its scope ended: app.\n  2. app ended at 1 s: it was canceled by the program")
	_, tree, _ := called(t, log, "tree", "-")
	assert.Regexp(t, `! 1 task did not end when told to, and was given up: deaf, sleeping at why_test\.go:\d+\. app was told to end at 1 s: it was canceled by the program`, tree)
	assert.NotContains(t, tree, "failed")
}

func TestWhyOfADirectory(t *testing.T) {
	dir := recordings(t)
	assert.Regexp(t, `^scope root/child \(id \d+-\d+\): opened at `, whyOf(t, "", dir, "root/child"))
}
