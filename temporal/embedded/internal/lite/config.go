package lite

import (
	"fmt"
	"net"
	"strconv"
	"sync/atomic"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	memberships "go.temporal.io/server/common/membership/static"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
)

const (
	loopback    = "127.0.0.1"
	clusterName = "active"
	frontend    = primitives.FrontendService

	workflowQueue = enumspb.TASK_QUEUE_TYPE_WORKFLOW
)

var services = []primitives.ServiceName{
	primitives.FrontendService, primitives.HistoryService, primitives.MatchingService, primitives.WorkerService,
}

var databases atomic.Int64

func queue(name string) *taskqueuepb.TaskQueue { return &taskqueuepb.TaskQueue{Name: name} }

// freeHosts finds an address for each service; that of the frontend may be given.
func freeHosts(address string) (map[primitives.ServiceName]string, error) {
	hosts := map[primitives.ServiceName]string{}
	for _, service := range services {
		at := net.JoinHostPort(loopback, "0")
		if service == frontend && address != "" {
			at = address
		}
		// All are closed at the end only: a port that was closed could be found again.
		listener, err := net.Listen("tcp", at)
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		hosts[service] = listener.Addr().String()
	}
	return hosts, nil
}

func static(hosts map[primitives.ServiceName]string) map[primitives.ServiceName]memberships.Hosts {
	members := map[primitives.ServiceName]memberships.Hosts{}
	for service, host := range hosts {
		members[service] = memberships.SingleLocalHost(host)
	}
	return members
}

func configuration(hosts map[primitives.ServiceName]string) (*config.Config, *config.SQL) {
	database := &config.SQL{
		PluginName:        sqliteplugin.PluginName,
		DatabaseName:      fmt.Sprintf("traigo-%d", databases.Add(1)),
		ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
	}
	disabled := "disabled"
	cfg := &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     sqliteplugin.PluginName,
			VisibilityStore:  sqliteplugin.PluginName,
			NumHistoryShards: 1,
			DataStores:       map[string]config.DataStore{sqliteplugin.PluginName: {SQL: database}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: hosts[frontend]},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services:            map[string]config.Service{},
		PublicClient:        config.PublicClient{HostPort: hosts[frontend]},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: disabled},
			Visibility: config.VisibilityArchival{State: disabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: disabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: disabled},
		}},
	}
	for service, host := range hosts {
		ip, port, _ := net.SplitHostPort(host)
		number, _ := strconv.Atoi(port)
		cfg.Services[string(service)] = config.Service{RPC: config.RPC{GRPCPort: number, BindOnIP: ip}}
	}
	return cfg, database
}

func settings() dynamicconfig.StaticClient {
	client := dynamicconfig.StaticClient{}
	for key, value := range map[dynamicconfig.Key]any{
		dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): true,
	} {
		client[key] = []dynamicconfig.ConstrainedValue{{Value: value}}
	}
	return client
}
