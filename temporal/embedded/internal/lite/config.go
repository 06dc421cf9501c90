package lite

import (
	"net"
	"strconv"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
)

const (
	loopback    = "127.0.0.1"
	clusterName = "active"
	disabled    = "disabled"
	frontend    = primitives.FrontendService
)

// services are those that run. The worker service does not: its workers, and the connection
// that they poll by, outlive it, for good, and it is needed for schedules, batches and worker
// deployments alone. Static hosts must name it nevertheless.
var services = []primitives.ServiceName{frontend, primitives.HistoryService, primitives.MatchingService}

func serviceNames() (names []string) {
	for _, service := range services {
		names = append(names, string(service))
	}
	return names
}

// hosts are the addresses of the services.
type hosts map[primitives.ServiceName]string

// freeHosts finds a free port for each service; the address of the frontend may be given.
func freeHosts(address string) (hosts, error) {
	at := hosts{}
	for _, service := range services {
		try := net.JoinHostPort(loopback, "0")
		if service == frontend && address != "" {
			try = address
		}
		listener, err := net.Listen("tcp", try)
		if err != nil {
			return nil, err
		}
		defer listener.Close() // not before all are found: one that is closed could be found again
		at[service] = listener.Addr().String()
	}
	return at, nil
}

// members is who belongs to the cluster. That it is known makes the protocol for membership,
// its ports and its goroutines needless.
func members(at hosts) map[primitives.ServiceName]static.Hosts {
	known := map[primitives.ServiceName]static.Hosts{
		primitives.WorkerService: static.SingleLocalHost(net.JoinHostPort(loopback, "0")),
	}
	for service, host := range at {
		known[service] = static.SingleLocalHost(host)
	}
	return known
}

// configuration has no port but those of the services: none for HTTP, metrics or profiles.
func configuration(at hosts, database *config.SQL) *config.Config {
	cfg := &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     sqliteplugin.PluginName,
			VisibilityStore:  sqliteplugin.PluginName,
			NumHistoryShards: 1, // four were slower: the database has one connection
			DataStores:       map[string]config.DataStore{sqliteplugin.PluginName: {SQL: database}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: at[frontend]},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services:            map[string]config.Service{},
		PublicClient:        config.PublicClient{HostPort: at[frontend]},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: disabled},
			Visibility: config.VisibilityArchival{State: disabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: disabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: disabled},
		}},
	}
	for service, host := range at {
		ip, port, _ := net.SplitHostPort(host) // of a listener
		number, _ := strconv.Atoi(port)
		cfg.Services[string(service)] = config.Service{RPC: config.RPC{GRPCPort: number, BindOnIP: ip}}
	}
	return cfg
}

// settings are those by which a server in a process differs from one in a cluster.
func settings() dynamicconfig.StaticClient {
	// One process asks for more than a share of a cluster, all at once; nobody else does.
	const plenty = 1_000_000
	values := map[dynamicconfig.Key]any{
		dynamicconfig.FrontendRPS.Key():                                         plenty,
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key():                  plenty,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key():        plenty,
		dynamicconfig.FrontendMaxConcurrentLongRunningRequestsPerInstance.Key(): plenty, // a poll for each result that is awaited
		dynamicconfig.FrontendPersistenceMaxQPS.Key():                           plenty,
		dynamicconfig.HistoryRPS.Key():                                          plenty,
		dynamicconfig.HistoryPersistenceMaxQPS.Key():                            plenty,
		dynamicconfig.MatchingRPS.Key():                                         plenty,
		dynamicconfig.MatchingPersistenceMaxQPS.Key():                           plenty,

		// A shard looks 20 times a second what there is to do, which is much for one of 4,096, and
		// for the only one a wait of 50 ms with each step of a workflow. What lists show may wait.
		dynamicconfig.TransferProcessorMaxPollRPS.Key():   100,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():      100,
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): 5,

		// Who waits for the end of a workflow is sometimes not told of it, and learns of it when the
		// poll expires, which is after 20 s by default. Here it has been one of some dozens of
		// workflows; the notifier of the history service drops what does not fit a channel of
		// one place, which may be why.
		dynamicconfig.HistoryLongPollExpirationInterval.Key(): 5 * time.Second,

		// One partition of a queue is one place to look, and no way between them.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

		// These need the worker service. Without it they would not fail but wait.
		dynamicconfig.FrontendEnableSchedules.Key():       false,
		dynamicconfig.FrontendEnableBatcher.Key():         false,
		dynamicconfig.EnableDeploymentVersions.Key():      false,
		dynamicconfig.EnableParentClosePolicyWorker.Key(): false, // history does it itself
	}
	client := dynamicconfig.StaticClient{}
	for key, value := range values {
		client[key] = []dynamicconfig.ConstrainedValue{{Value: value}}
	}
	return client
}
