package lite

import (
	"fmt"
	"io"
	"reflect"
	"sync"
	"sync/atomic"

	"go.temporal.io/server/client"
	"go.temporal.io/server/common"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/testing/testhooks"
	"go.temporal.io/server/schema/sqlite"
	"google.golang.org/grpc"
)

// The server is made for a process that ends with it. What it leaves behind when it stops is
// closed here: connections between its services, and the database.

// connections makes the factories of the services' clients as the server does, and remembers
// which connections they open: those to the frontend are closed by nobody.
type connections struct {
	client.FactoryProvider
	mu        sync.Mutex
	factories []common.RPCFactory
	opened    []*grpc.ClientConn
}

func newConnections() *connections { return &connections{FactoryProvider: client.NewFactoryProvider()} }

// NewFactory has the signature that the server asks for.
func (c *connections) NewFactory(
	rpcFactory common.RPCFactory, monitor membership.Monitor, metricsHandler metrics.Handler, dc *dynamicconfig.Collection,
	testHooks testhooks.TestHooks, numberOfHistoryShards int32, logger, throttledLogger log.Logger,
) client.Factory {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.factories = append(c.factories, rpcFactory)
	return c.FactoryProvider.NewFactory(&recorder{rpcFactory, c}, monitor, metricsHandler, dc,
		testHooks, numberOfHistoryShards, logger, throttledLogger)
}

func (c *connections) add(conn *grpc.ClientConn) *grpc.ClientConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened = append(c.opened, conn)
	return conn
}

func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.opened {
		if conn != nil {
			_ = conn.Close() // it may have been
		}
	}
}

// closeListeners closes those of services that do not get as far as to be stopped, because
// another one was not made, or did not start.
func (c *connections) closeListeners(log *logger) {
	c.mu.Lock()
	factories := c.factories
	c.mu.Unlock()
	for _, factory := range factories {
		// The one that has no listener tries once more to get it.
		_ = log.guard(func() error { return factory.GetGRPCListener().Close() })
	}
}

// A recorder tells connections what is opened.
type recorder struct {
	common.RPCFactory
	conns *connections
}

func (r *recorder) CreateRemoteFrontendGRPCConnection(address string) *grpc.ClientConn {
	return r.conns.add(r.RPCFactory.CreateRemoteFrontendGRPCConnection(address))
}

func (r *recorder) CreateLocalFrontendGRPCConnection() *grpc.ClientConn {
	return r.conns.add(r.RPCFactory.CreateLocalFrontendGRPCConnection())
}

func (r *recorder) CreateHistoryGRPCConnection(address string) *grpc.ClientConn {
	return r.conns.add(r.RPCFactory.CreateHistoryGRPCConnection(address))
}

func (r *recorder) CreateMatchingGRPCConnection(address string) *grpc.ClientConn {
	return r.conns.add(r.RPCFactory.CreateMatchingGRPCConnection(address))
}

// A database is one in memory, under a name of its own in this process.
type database struct {
	config *config.SQL
	plugin sqlplugin.AdminDB
}

var databases atomic.Int64

// openDatabase makes the tables and the namespace. The server's plugin keeps all databases by
// name, so that each of its services gets the same connection.
func openDatabase() (*database, error) {
	cfg := &config.SQL{
		PluginName:        sqliteplugin.PluginName,
		DatabaseName:      fmt.Sprintf("traigo-%d", databases.Add(1)),
		ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
	}
	plugin, err := sql.NewSQLAdminDB(sqlplugin.DbKindUnknown, cfg, resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return nil, err
	}
	d := &database{config: cfg, plugin: plugin}
	namespace, err := sqlite.NewNamespaceConfig(clusterName, Namespace, false, nil)
	if err == nil {
		err = sqlite.CreateNamespaces(cfg, namespace)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// close closes the connection itself: the plugin's own Close counts references, and keeps the
// connection, with its goroutine and everything that was in the tables, when there is none.
// The field is not exported. If a later server has it under another name, the connection stays
// open, which a test finds.
func (d *database) close() {
	_ = d.plugin.Close()
	plugin := reflect.ValueOf(d.plugin)
	if plugin.Kind() != reflect.Pointer || plugin.Elem().Kind() != reflect.Struct {
		return
	}
	field := plugin.Elem().FieldByName("db")
	if !field.IsValid() {
		return
	}
	if conn, ok := reflect.TypeAssert[io.Closer](reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem()); ok {
		_ = conn.Close()
	}
}
