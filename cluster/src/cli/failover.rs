//! `meridian failover`: make another cluster the active one of a namespace.

use std::fmt;

use proto::temporal::api::{
    replication::v1::NamespaceReplicationConfig,
    workflowservice::v1::{
        DescribeNamespaceRequest, DescribeNamespaceResponse, UpdateNamespaceRequest, UpdateNamespaceResponse,
        workflow_service_client::WorkflowServiceClient,
    },
};
use serde::Serialize;

use super::{Answer, Failed, Output, answer::write_note, connection::Address};

/// Make another cluster the active one of a namespace. Any of its clusters can be asked.
#[derive(Debug, clap::Args)]
pub struct Failover {
    /// The namespace to move.
    namespace: String,
    /// The cluster that is to be active.
    #[arg(long, value_name = "CLUSTER")]
    to: String,
    /// Move at once, whatever has not been replicated yet.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    address: Address,
}

/// What became of the namespace.
#[derive(Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Moved {
    namespace: String,
    from: String,
    to: String,
    old_version: i64,
    new_version: i64,
    forced: bool,
}

impl Failover {
    /// Move it.
    ///
    /// # Errors
    ///
    /// [`Failed`]; the namespace is where it was, unless the server did not answer in time.
    pub async fn run(&self, output: Output) -> Result<(), Failed> {
        let doing = format!("move namespace {} to {}", self.namespace, self.to);
        let mut client = WorkflowServiceClient::new(self.address.connect().await?);
        let request = DescribeNamespaceRequest { namespace: self.namespace.clone(), ..Default::default() };
        let before = client.describe_namespace(request).await;
        let before = before.map_err(|status| self.address.failed(&doing, &status))?.into_inner();
        let from = self.check(&before)?.to_owned();
        if from != self.to {
            if !self.force {
                write_note(NOT_GRACEFUL);
            }
            let answer = client.update_namespace(self.request()).await;
            let after = answer.map_err(|status| self.address.failed(&doing, &status))?.into_inner();
            self.moved(from, &before, &after).write(output);
        } else {
            self.unmoved(from, &before).write(output);
        }
        Ok(())
    }

    /// The active cluster, if the namespace can be moved as told.
    fn check<'a>(&self, namespace: &'a DescribeNamespaceResponse) -> Result<&'a str, Failed> {
        let Self { namespace: name, to, .. } = self;
        if !namespace.is_global_namespace {
            return Err(Failed(format!("namespace {name} is local to its cluster and cannot be moved")));
        }
        let Some(replication) = &namespace.replication_config else {
            return Err(Failed(format!("the server does not say in which clusters namespace {name} is")));
        };
        let clusters: Vec<_> = replication.clusters.iter().map(|cluster| cluster.cluster_name.as_str()).collect();
        if !clusters.contains(&to.as_str()) {
            let clusters = clusters.join(", ");
            return Err(Failed(format!("namespace {name} is not in cluster {to}; it is in: {clusters}")));
        }
        Ok(&replication.active_cluster_name)
    }

    fn request(&self) -> UpdateNamespaceRequest {
        let replication_config =
            NamespaceReplicationConfig { active_cluster_name: self.to.clone(), ..Default::default() };
        UpdateNamespaceRequest {
            namespace: self.namespace.clone(),
            replication_config: Some(replication_config),
            ..Default::default()
        }
    }

    fn moved(&self, from: String, before: &DescribeNamespaceResponse, after: &UpdateNamespaceResponse) -> Moved {
        Moved {
            namespace: self.namespace.clone(),
            from,
            to: self.to.clone(),
            old_version: before.failover_version,
            new_version: after.failover_version,
            forced: true,
        }
    }

    fn unmoved(&self, from: String, before: &DescribeNamespaceResponse) -> Moved {
        Moved {
            namespace: self.namespace.clone(),
            from,
            to: self.to.clone(),
            old_version: before.failover_version,
            new_version: before.failover_version,
            forced: false,
        }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, from, to, old_version, new_version, forced } = self;
        if from == to {
            return write!(f, "Namespace {namespace} is active in {to} already, at failover version {new_version}.");
        }
        let how = if *forced { ", forced" } else { "" };
        write!(
            f,
            "Namespace {namespace} moved from {from} to {to}: failover version {old_version} -> {new_version}{how}."
        )
    }
}

const NOT_GRACEFUL: &str = "meridian: there is no graceful handover yet: this failover is forced, and what the other \
                            side has not received yet may have to be reconciled afterwards (--force says this is meant)";

#[cfg(test)]
mod tests {
    use proto::temporal::api::replication::v1::ClusterReplicationConfig;

    use super::*;

    fn command(to: &str) -> Failover {
        let address = Address { address: "h:1".into() };
        Failover { namespace: "orders".into(), to: to.into(), force: true, address }
    }

    fn namespace(is_global: bool) -> DescribeNamespaceResponse {
        let clusters =
            ["a", "b"].map(|name| ClusterReplicationConfig { cluster_name: name.into(), ..Default::default() });
        DescribeNamespaceResponse {
            is_global_namespace: is_global,
            failover_version: 1,
            replication_config: Some(NamespaceReplicationConfig {
                active_cluster_name: "a".into(),
                clusters: clusters.into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn what_cannot_be_moved_is_refused_before_anything_is_asked_for() {
        assert_eq!(command("b").check(&namespace(true)), Ok("a"));
        let refusal = command("c").check(&namespace(true)).unwrap_err().to_string();
        assert_eq!(refusal, "namespace orders is not in cluster c; it is in: a, b");
        let refusal = command("b").check(&namespace(false)).unwrap_err().to_string();
        assert_eq!(refusal, "namespace orders is local to its cluster and cannot be moved");
    }

    #[test]
    fn only_the_active_cluster_is_changed() {
        let request = command("b").request();
        let expected = UpdateNamespaceRequest {
            namespace: "orders".into(),
            replication_config: Some(NamespaceReplicationConfig {
                active_cluster_name: "b".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn text_and_json() {
        let after = UpdateNamespaceResponse { failover_version: 2, ..Default::default() };
        let moved = command("b").moved("a".into(), &namespace(true), &after);
        let text = "Namespace orders moved from a to b: failover version 1 -> 2, forced.\n";
        assert_eq!(moved.render(Output::Text), text);
        let value: serde_json::Value = serde_json::from_str(&moved.render(Output::Json)).unwrap();
        let expected = serde_json::json!({
            "namespace": "orders", "from": "a", "to": "b", "old_version": 1, "new_version": 2, "forced": true,
        });
        assert_eq!(value, expected);
        let unmoved = command("a").unmoved("a".into(), &namespace(true));
        let text = "Namespace orders is active in a already, at failover version 1.\n";
        assert_eq!(unmoved.render(Output::Text), text);
    }
}
