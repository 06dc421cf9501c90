// Package lite starts and stops a Temporal server in this process: all its services, on the
// loopback interface, with SQLite in memory.
package lite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
)

// Namespace is the one that every server has.
const Namespace = "default"

const (
	attempts     = 10               // at ports that are free
	readyTimeout = 30 * time.Second // far more than a loaded machine needs
)

// starting lets one server of this process start at a time: two would look for free ports at
// once, and find the same.
var starting sync.Mutex

// A Server is a running Temporal server.
type Server struct {
	address string
	server  temporal.Server
	stop    sync.Once
}

// Start starts a server at an address, host:port, or at a free port of 127.0.0.1 if that is
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
		// Between the moment at which a port was found free and the one at which the server
		// listens there, another process may have taken it.
		if address != "" || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, fmt.Errorf("traigo: starting the embedded Temporal server: %w", err)
}

func start(address string) (*Server, error) {
	hosts, err := freeHosts(address)
	if err != nil {
		return nil, err
	}
	cfg, database := configuration(hosts)
	namespace, err := sqlite.NewNamespaceConfig(clusterName, Namespace, false, nil)
	if err != nil {
		return nil, err
	}
	if err := sqlite.CreateNamespaces(database, namespace); err != nil {
		return nil, err
	}

	log := &logger{}
	s := &Server{address: hosts[frontend]}
	err = log.guard(func() (err error) {
		s.server, err = temporal.NewServer(
			temporal.WithConfig(cfg),
			temporal.ForServices(temporal.DefaultServices),
			temporal.WithStaticHosts(static(hosts)),
			temporal.WithLogger(log),
			temporal.WithCustomMetricsHandler(metrics.NoopMetricsHandler),
			temporal.WithDynamicConfigClient(settings()),
		)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := log.guard(s.server.Start); err != nil {
		return nil, err
	}
	if err := ready(s.address); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// ready returns when all of the services answer: the question about a workflow goes from the
// frontend to the history service and to the database, that about a queue to matching.
func ready(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Namespace: Namespace, Logger: quiet{}})
	if err != nil {
		return err
	}
	defer c.Close()
	const none = "traigo-ready"
	var notFound *serviceerror.NotFound
	if _, err = c.DescribeWorkflowExecution(ctx, none, ""); !errors.As(err, &notFound) {
		return fmt.Errorf("asking for a workflow that does not exist: %w", err)
	}
	_, err = c.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: Namespace, TaskQueue: queue(none), TaskQueueType: workflowQueue,
	})
	return err
}

// Address is where the server answers: host:port.
func (s *Server) Address() string { return s.address }

// Stop stops the server. All calls return when it has stopped.
func (s *Server) Stop() {
	s.stop.Do(func() {
		_ = (&logger{}).guard(s.server.Stop)
	})
}
