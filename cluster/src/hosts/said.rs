//! What hosts say of their shards, and what is made of it.

use proto::meridian::internal::v1 as wire;
use replicator::{
    ids::{ClusterId, NamespaceId, RunId, RunKey, ShardId, TaskId, WorkflowKey},
    shard::{
        Exposure, Standing,
        io::{Limit, QuarantinedTask, StreamKey, StreamRole},
    },
    time::Timestamp,
};

/// How far a peer is behind a shard.
pub(super) fn standing(standing: &Standing) -> wire::Standing {
    let exposures = standing.exposures.iter().map(|(namespace, exposure)| wire::Exposure {
        namespace_id: namespace.to_string(),
        tasks: exposure.tasks,
        events: exposure.events,
        bytes: exposure.bytes,
        workflow_ids: exposure.workflows.iter().map(|workflow| workflow.workflow.to_string()).collect(),
        since: exposure.since.map(Into::into),
    });
    wire::Standing {
        cluster_id: standing.peer.0,
        is_open: standing.is_open,
        acked_task_id: standing.acked.0,
        stored_task_id: standing.stored.map_or(0, |task| task.0),
        next_task_id: standing.next.0,
        exposures: exposures.collect(),
        has_gap: standing.has_gap,
        seeding_namespace_ids: standing.seeding.iter().map(ToString::to_string).collect(),
        held_back_by: standing.held_back.map(|(limit, _)| limit.as_str().into()).unwrap_or_default(),
        held_back_since: standing.held_back.map(|(_, since)| since.into()),
    }
}

/// Nothing when it says nothing that can be understood.
pub(super) fn read_standing(said: wire::Standing) -> Option<Standing> {
    let exposures = said.exposures.into_iter().map(|exposure| {
        let namespace = NamespaceId::parse(&exposure.namespace_id).ok()?;
        let workflow = |id: &String| WorkflowKey { namespace, workflow: id.as_str().into() };
        let read = Exposure {
            tasks: exposure.tasks,
            events: exposure.events,
            bytes: exposure.bytes,
            workflows: exposure.workflow_ids.iter().map(workflow).collect(),
            since: exposure.since.map(Timestamp::from),
        };
        Some((namespace, read))
    });
    let limit = Limit::ALL.into_iter().find(|limit| limit.as_str() == said.held_back_by);
    Some(Standing {
        peer: ClusterId(said.cluster_id),
        is_open: said.is_open,
        acked: TaskId(said.acked_task_id),
        stored: Some(TaskId(said.stored_task_id)).filter(|task| task.0 != 0),
        next: TaskId(said.next_task_id),
        exposures: exposures.collect::<Option<_>>()?,
        has_gap: said.has_gap,
        seeding: said.seeding_namespace_ids.iter().map(|id| NamespaceId::parse(id).ok()).collect::<Option<_>>()?,
        held_back: limit.zip(said.held_back_since.map(Timestamp::from)),
    })
}

/// A task of a peer that could not be applied.
pub(super) fn kept(shard: ShardId, kept: &QuarantinedTask) -> wire::Kept {
    wire::Kept {
        shard_id: shard.0,
        namespace_id: kept.run.workflow.namespace.to_string(),
        workflow_id: kept.run.workflow.workflow.to_string(),
        run_id: kept.run.run.to_string(),
        task_id: kept.task.0,
        from_cluster_id: kept.from.cluster.0,
        from_shard_id: kept.from.shard.0,
        source_task_id: kept.source.0,
        told: kept.told.clone(),
        reason: kept.reason.clone(),
        since: Some(kept.since.into()),
        tries: kept.tries,
    }
}

/// Nothing when it says nothing that can be understood.
pub(super) fn read_kept(said: wire::Kept) -> Option<(ShardId, QuarantinedTask)> {
    let namespace = NamespaceId::parse(&said.namespace_id).ok()?;
    let workflow = WorkflowKey { namespace, workflow: said.workflow_id.as_str().into() };
    let from = StreamKey {
        cluster: ClusterId(said.from_cluster_id),
        shard: ShardId(said.from_shard_id),
        role: StreamRole::Target,
    };
    let kept = QuarantinedTask {
        run: RunKey { workflow, run: RunId::parse(&said.run_id).ok()? },
        task: TaskId(said.task_id),
        from,
        source: TaskId(said.source_task_id),
        told: said.told,
        reason: said.reason,
        since: said.since?.into(),
        tries: said.tries,
    };
    Some((ShardId(said.shard_id), kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let namespace = NamespaceId::from_bytes([1; 16]);
        let workflow = WorkflowKey { namespace, workflow: "w".into() };
        let since = Timestamp::from_millis(5);
        let exposure =
            Exposure { tasks: 1, events: 2, bytes: 3, workflows: [workflow.clone()].into(), since: Some(since) };
        let behind = Standing {
            peer: ClusterId(2),
            is_open: true,
            acked: TaskId(4),
            stored: None,
            next: TaskId(9),
            exposures: [(namespace, exposure)].into(),
            has_gap: true,
            seeding: [namespace].into(),
            held_back: Some((Limit::Bytes, since)),
        };
        let far = Standing { stored: Some(TaskId(7)), held_back: None, ..behind.clone() };
        for one in [behind, far] {
            assert_eq!(read_standing(standing(&one)), Some(one));
        }
        let task = QuarantinedTask {
            run: RunKey { workflow, run: RunId::parse("00000000-0000-0000-0000-000000000007").unwrap() },
            task: TaskId(3),
            from: StreamKey { cluster: ClusterId(2), shard: ShardId(4), role: StreamRole::Target },
            source: TaskId(8),
            told: b"told".as_slice().to_vec().into(),
            reason: "why".into(),
            since,
            tries: 2,
        };
        assert_eq!(read_kept(kept(ShardId(1), &task)), Some((ShardId(1), task)));
        assert_eq!(read_kept(wire::Kept::default()), None);
    }
}
