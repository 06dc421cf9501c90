// Package lite starts and stops a Temporal server in this process: its services on the
// loopback interface, with SQLite in memory.
package lite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/temporal"
)

// Namespace is the one that every server has.
const Namespace = "default"

const (
	attempts     = 10               // at ports that were free
	readyTimeout = 30 * time.Second // it takes milliseconds, and seconds on a machine that is loaded
)

// starting lets one server of this process start at a time: two that look for free ports at
// once may find the same.
var starting sync.Mutex

// A Server is a running Temporal server.
type Server struct {
	address  string
	server   temporal.Server
	log      *logger
	conns    *connections
	database *database
	stop     sync.Once
}

// Start starts a server at an address, IP:port, or at a free port of 127.0.0.1 if that is
// empty. It answers when Start returns.
func Start(address string) (*Server, error) {
	starting.Lock()
	defer starting.Unlock()
	var err error
	for range attempts {
		var s *Server
		if s, err = start(address); err == nil {
			return s, nil
		}
		// Between the moment at which a port was found to be free and the one at which the server
		// listens there another process may have taken it.
		if address != "" || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, fmt.Errorf("traigo: the embedded Temporal server does not start: %w", err)
}

func start(address string) (*Server, error) {
	at, err := freeHosts(address)
	if err != nil {
		return nil, err
	}
	return startAt(at)
}

func startAt(at hosts) (started *Server, err error) {
	s := &Server{address: at[frontend], log: &logger{}, conns: newConnections()}
	defer func() {
		if started == nil {
			s.conns.closeListeners(s.log)
			s.Stop()
		}
	}()
	if s.database, err = openDatabase(); err != nil {
		return nil, err
	}
	err = s.log.guard(func() error {
		s.server, err = temporal.NewServer(
			temporal.WithConfig(configuration(at, s.database.config)),
			temporal.ForServices(serviceNames()),
			temporal.WithStaticHosts(members(at)),
			temporal.WithLogger(s.log),
			temporal.WithCustomMetricsHandler(metrics.NoopMetricsHandler),
			temporal.WithDynamicConfigClient(settings()),
			temporal.WithClientFactoryProvider(s.conns),
		)
		return err
	})
	if err == nil {
		err = s.log.guard(s.server.Start)
	}
	if err == nil {
		err = ready(s.address)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// ready returns when the services answer. The question about a workflow goes through the
// frontend to history, which needs its shard for it, and to the database; the one about a
// queue to matching.
func ready(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Namespace: Namespace, Logger: quiet{}})
	if err != nil {
		return err
	}
	defer c.Close()
	const none = "traigo-is-it-ready"
	var notFound *serviceerror.NotFound
	if _, err = c.DescribeWorkflowExecution(ctx, none, ""); !errors.As(err, &notFound) {
		return fmt.Errorf("asked for a workflow that does not exist, history said: %w", err)
	}
	_, err = c.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace:     Namespace,
		TaskQueue:     &taskqueuepb.TaskQueue{Name: none},
		TaskQueueType: enumspb.TASK_QUEUE_TYPE_WORKFLOW,
	})
	return err
}

// Address is where the server answers: host:port.
func (s *Server) Address() string { return s.address }

// Stop stops the server. However many call it, all return when it has stopped.
func (s *Server) Stop() {
	s.stop.Do(func() {
		if s.server != nil {
			_ = s.log.guard(s.server.Stop)
		}
		s.conns.close()
		if s.database != nil {
			s.database.close()
		}
	})
}
