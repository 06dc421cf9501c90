package temporal_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

func TestNamesInTheEngine(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	resize := temporal.Func("resize", func(_ context.Context, n int) (int, error) { return n, nil })
	workHere(t, queue, resize)
	e := connect(t)
	type described struct{ typ, summary string }
	describe := func(id string) described {
		d, err := e.Client().DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err, id)
		var summary string
		require.NoError(t, converter.GetDefaultDataConverter().FromPayload(d.GetExecutionConfig().GetUserMetadata().GetSummary(), &summary))
		require.Equal(t, queue, d.GetWorkflowExecutionInfo().GetTaskQueue())
		require.Empty(t, customAttributes(d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()))
		return described{d.GetWorkflowExecutionInfo().GetType().GetName(), summary}
	}
	activity := func(id string) string {
		for events := e.Client().GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
			ev, err := events.Next()
			require.NoError(t, err)
			if a := ev.GetActivityTaskScheduledEventAttributes(); a != nil {
				return a.GetActivityType().GetName()
			}
		}
		return ""
	}
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		below := s.Fork(traigo.Name("below"))
		r, err := temporal.Open(below, e, queue, temporal.Lease(longLease))
		require.NoError(t, err)
		require.Regexp(t, `^owner/below-[a-z0-9]{8}$`, r.ID())
		require.Equal(t, "traigo.Scope", describe(r.ID()).typ)

		require.NoError(t, ended(t, resize.Spawn(r, 1)))
		require.NoError(t, ended(t, resize.Spawn(r, 2, traigo.Name("photo.jpg"))))
		require.Equal(t, described{"traigo.Task", "resize"}, describe(r.ID()+"/resize-1"))
		require.Equal(t, described{"traigo.Task", "photo.jpg"}, describe(r.ID()+"/resize-2"))
		require.Equal(t, "resize", activity(r.ID()+"/resize-1"))
		below.Finalize()

		named := s.Fork(traigo.Name("named"))
		id := queue + " the job of today"
		r, err = temporal.Open(named, e, queue, temporal.Lease(longLease), temporal.Resume(id))
		require.NoError(t, err)
		require.Equal(t, id, r.ID())
		var task string
		first := temporal.Func("which", func(ctx context.Context, _ int) (string, error) { return temporal.Current(ctx).Task, nil })
		workHere(t, queue+"-which", first)
		other, err := temporal.Open(named, e, queue+"-which", temporal.Lease(longLease), temporal.Resume(id+" which"))
		require.NoError(t, err)
		task, err = first.Run(ctx, other, 1)
		require.NoError(t, err)
		require.Regexp(t, `^`+regexp.QuoteMeta(id+" which")+`/which-[0-9a-f]+$`, task)
		named.Finalize()
		return nil
	}, traigo.Name("owner")))
}

// customAttributes are those that somebody would have to set up.
func customAttributes[T any](all map[string]T) (names []string) {
	for name := range all {
		switch name {
		case "BuildIds", "TemporalChangeVersion", "TemporalReportedProblems", "TemporalUsedWorkerDeploymentVersions", "TemporalWorkerDeployment",
			"TemporalWorkerDeploymentVersion", "TemporalWorkflowVersioningBehavior", "BinaryChecksums":
		default:
			names = append(names, name)
		}
	}
	return names
}

func TestLongNames(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	// All that is beside a call may be as long as the user likes. The function's name is the activity's type, which has a limit.
	for what, size := range map[string]struct{ scope, task, function int }{
		"scope":    {1200, 4, 4},
		"task":     {4, 1200, 4},
		"function": {4, 4, 1000},
		"all":      {900, 900, 900},
	} {
		t.Run(what, func(t *testing.T) {
			name := strings.Repeat("f", size.function)
			long := temporal.Func(name, func(ctx context.Context, _ int) (string, error) { return temporal.Current(ctx).Task, nil })
			queue := queue + what
			workHere(t, queue, long)
			e := connect(t)
			var ids []string
			err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
				r, err := temporal.Open(s, e, queue)
				require.NoError(t, err)
				require.LessOrEqual(t, len(r.ID()), 1000)
				for range 2 {
					task, err := long.Async(r, 1, traigo.Name(strings.Repeat("é", size.task/2))).Await(ctx)
					require.NoError(t, err)
					require.LessOrEqual(t, len(task), 1000)
					ids = append(ids, task)
				}
				return nil
			}, traigo.Name(strings.Repeat("s", size.scope)))
			require.NoError(t, err)
			require.Len(t, ids, 2)
			require.NotEqual(t, ids[0], ids[1], "those that are cut are still different")
		})
	}
}

// IDs go into headers, which take no more than ASCII.
func TestNamesOfAllLanguages(t *testing.T) {
	t.Parallel()
	e := connect(t)
	for _, name := range []string{"größe", "画像", "\xff\xfe", "two\nlines\t"} {
		queue := queueOf(t)
		text := strings.ToValidUTF8(name, "?")
		resize := temporal.Func("resize "+text, func(_ context.Context, n int) (int, error) { return n, nil })
		workHere(t, queue, resize)
		for _, opts := range [][]temporal.OpenOption{nil, {temporal.Resume(queue + name)}} {
			err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
				r, err := temporal.Open(s, e, queue, opts...)
				require.NoError(t, err)
				t.Log(r.ID())
				n, err := resize.Async(r, 1, traigo.Name(name)).Await(ctx)
				require.NoError(t, err)
				require.Equal(t, 1, n)
				return nil
			}, traigo.Name(name))
			require.NoError(t, err)
		}
	}
	s := traigo.New(t.Context())
	id := queueOf(t)
	one, err := temporal.Open(s, e, "nobody", temporal.Resume(id+"é"))
	require.NoError(t, err)
	other, err := temporal.Open(s, e, "nobody", temporal.Resume(id+"è"))
	require.NoError(t, err)
	require.NotEqual(t, one.ID(), other.ID())
	require.NoError(t, s.Close())
}

func TestQueuesOfAllLanguages(t *testing.T) {
	t.Parallel()
	queue := queueOf(t) + " größe"
	workHere(t, queue, double)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		n, err := double.Run(ctx, r, 1)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		return nil
	}))
}
