//! The configurations that come with the server: accepted, and with these notices.

use config::{
    Cluster, Config, Format, Frontend, Level, Location, Log, Persistence, Redirection, ReplicationBacklog, Tls, parse,
};

const A: &str = include_str!("../../../deploy/cluster-a.yaml");
const B: &str = include_str!("../../../deploy/cluster-b.yaml");

#[test]
fn tls() {
    for text in [include_str!("../../../deploy/tls/cluster-a.yaml"), include_str!("../../../deploy/tls/cluster-b.yaml")]
    {
        let (config, _) = parse(text, None).expect("accepted");
        assert!(config.tls.frontend.is_some_and(|server| server.require_client));
        assert_eq!(config.tls.remote_clusters.len(), 1);
    }
}

#[test]
fn cluster_a() {
    check(
        A,
        Config {
            log: Log { level: Level::Info, format: Format::Json, stdout: true },
            persistence: Persistence {
                location: Location::File("cluster-a.db".into()),
                num_history_shards: 4,
                backlog: ReplicationBacklog::default(),
            },
            frontend: Frontend {
                grpc: "127.0.0.1:7233".parse().unwrap(),
                http: Some("127.0.0.1:7243".parse().unwrap()),
            },
            host: None,
            metrics: Some("127.0.0.1:7253".parse().unwrap()),
            gossip_keys: None,
            dynamic: None,
            tls: Tls::default(),
            cluster: Cluster {
                name: "a".into(),
                master: "a".into(),
                failover_version_increment: 10,
                initial_failover_version: 1,
                enable_global_namespace: true,
                rpc_address: "127.0.0.1:7233".into(),
                http_address: Some("127.0.0.1:7243".into()),
            },
            redirection: Redirection::SelectedApis,
        },
    );
}

#[test]
fn cluster_b() {
    check(
        B,
        Config {
            log: Log { level: Level::Info, format: Format::Json, stdout: true },
            persistence: Persistence {
                location: Location::File("cluster-b.db".into()),
                num_history_shards: 4,
                backlog: ReplicationBacklog::default(),
            },
            frontend: Frontend {
                grpc: "127.0.0.1:8233".parse().unwrap(),
                http: Some("127.0.0.1:8243".parse().unwrap()),
            },
            host: None,
            metrics: Some("127.0.0.1:8253".parse().unwrap()),
            gossip_keys: None,
            dynamic: None,
            tls: Tls::default(),
            cluster: Cluster {
                name: "b".into(),
                master: "b".into(),
                failover_version_increment: 10,
                initial_failover_version: 2,
                enable_global_namespace: true,
                rpc_address: "127.0.0.1:8233".into(),
                http_address: Some("127.0.0.1:8243".into()),
            },
            redirection: Redirection::SelectedApis,
        },
    );
}

#[track_caller]
fn check(text: &str, expected: Config) {
    let (config, notices) = parse(text, None).unwrap();
    let own = format!("clusterMetadata.clusterInformation.{}.rpcName", expected.cluster.name);
    assert_eq!(config, expected);
    let paths: Vec<_> = notices.iter().map(|notice| notice.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "global.membership.maxJoinDuration",
            "global.membership.broadcastAddress",
            "services.frontend.rpc.membershipPort",
            "services.history.rpc.grpcPort",
            "services.history.rpc.membershipPort",
            "services.history.rpc.bindOnLocalHost",
            "services.matching.rpc.grpcPort",
            "services.matching.rpc.membershipPort",
            "services.matching.rpc.bindOnLocalHost",
            "services.worker.rpc.grpcPort",
            "services.worker.rpc.membershipPort",
            "services.worker.rpc.bindOnLocalHost",
            &own,
        ]
    );
    assert!(notices.iter().all(|notice| notice.text.starts_with("has no effect: ")), "{notices:?}");
}
