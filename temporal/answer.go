package temporal

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// answers sees to it that what an attempt has returned is not lost when the engine is briefly away.
// The SDK tells the engine for 10 s, and gives up; then the task would be begun again. Here the engine is
// told for as long as the lease of the attempt lasts, up to a minute, by an interceptor below the SDK.
type answers struct {
	mu    sync.Mutex
	until map[string]time.Time // by task token: attempts that are about to be told of
}

// answerTimeout is the time that the engine has for one answer.
const answerTimeout = 10 * time.Second

// hold is called before an attempt returns to the SDK.
func (a *answers) hold(token []byte, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.until == nil {
		a.until = map[string]time.Time{}
	}
	a.until[string(token)] = until
}

// take returns until when the lease of an attempt lasts; the zero time if it is none of ours.
func (a *answers) take(token []byte) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	until := a.until[string(token)]
	delete(a.until, string(token))
	return until
}

// intercept is the interceptor.
func (a *answers) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	answer, ok := req.(interface{ GetTaskToken() []byte })
	if !ok || !strings.Contains(method, "/RespondActivityTask") {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	until := a.take(answer.GetTaskToken())
	if until.IsZero() {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	for {
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
		err := invoke(asking, method, req, reply, cc, opts...)
		cancel()
		if !isAway(err) || time.Now().After(until) {
			return err
		}
		pause(context.WithoutCancel(ctx), retryDelay)
	}
}

// isAway reports whether the engine has not answered, or has no time.
func isAway(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Internal, codes.Unknown:
		return true
	default:
		return false
	}
}
