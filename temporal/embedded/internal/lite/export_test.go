package lite

import (
	"go.temporal.io/server/common/log/tag"
	"go.temporal.io/server/common/primitives"
)

// StartAt starts a server whose services are at these addresses, free or not.
func StartAt(front, history, matching string) (*Server, error) {
	return startAt(hosts{frontend: front, primitives.HistoryService: history, primitives.MatchingService: matching})
}

// Guard runs fn, which is given what the server may write to its log.
func Guard(fn func(write func(msg string, err error), fatal func(msg string, err error)) error) error {
	l := &logger{}
	return l.guard(func() error {
		return fn(
			func(msg string, err error) { l.Error(msg, errorTags(err)...) },
			func(msg string, err error) { l.Fatal(msg, errorTags(err)...) },
		)
	})
}

func errorTags(err error) []tag.Tag { return []tag.Tag{tag.Address("there"), tag.Error(err)} }
