//! `meridian.membership.v1.MembershipService`: which processes a cluster has, and which shards each of them.

use config::Service;
use hosts::Trouble;
use membership::{Member, Presence, View};
use proto::meridian::membership::v1::{
    ListMembersRequest, ListMembersResponse, ListShardsRequest, ListShardsResponse, MemberInfo, SetDrainingRequest,
    SetDrainingResponse, ShardInfo, membership_service_client::MembershipServiceClient,
    membership_service_server::MembershipService,
};
use replicator::ids::ShardId;
use tokio::time::timeout;
use tonic::{Request, Response, Status, async_trait};

use super::Operations;
use crate::cluster::LETTING_GO;

#[async_trait]
impl MembershipService for Operations {
    async fn list_members(&self, _: Request<ListMembersRequest>) -> Result<Response<ListMembersResponse>, Status> {
        let view = self.membership.view();
        Ok(Response::new(ListMembersResponse { members: view.all().map(|member| info(&view, member)).collect() }))
    }

    async fn list_shards(&self, _: Request<ListShardsRequest>) -> Result<Response<ListShardsResponse>, Status> {
        let owner = |shard| match &self.shards.hosts {
            None => Some(self.membership.view().me().clone()),
            Some(hosts) => hosts.member_of_shard(shard),
        };
        let shard = |shard| {
            let (address, host) = owner(shard).map(|owner| (owner.address, owner.host)).unwrap_or_default();
            ShardInfo { shard_id: shard.0, address, host }
        };
        let shards = (1..=self.history.shard_count()).map(ShardId).map(shard).collect();
        Ok(Response::new(ListShardsResponse { shards }))
    }

    async fn set_draining(
        &self,
        request: Request<SetDrainingRequest>,
    ) -> Result<Response<SetDrainingResponse>, Status> {
        let SetDrainingRequest { process, is_draining } = request.into_inner();
        let view = self.membership.view();
        let member = find(&view, &process)?;
        let Some(hosts) = &self.shards.hosts else {
            return Err(Status::failed_precondition("the cluster has one process, and nobody could take what it has"));
        };
        let Some(host) = hosts.all_others().into_iter().find(|host| host.member().id == member.id) else {
            return self.set_draining_here(is_draining).await.map(Response::new);
        };
        // By its id: should it begin anew now, then that is another process.
        let request = SetDrainingRequest { process: member.id.to_string(), is_draining };
        let mut client = MembershipServiceClient::new(host.channel());
        host.ask(client.set_draining(request)).await.map_err(|trouble| match trouble {
            Trouble::Refused(status) => status,
            trouble => Status::unavailable(format!("the process does not answer ({trouble:?})")),
        })
    }
}

impl Operations {
    /// Give this process nothing any more, or its part again.
    async fn set_draining_here(&self, is_draining: bool) -> Result<SetDrainingResponse, Status> {
        if is_draining && let Some(service) = irreplaceable(&self.membership.view()) {
            let service = service.as_str();
            let why = format!("no other process runs {service}, and nobody could take what this one has");
            return Err(Status::failed_precondition(why));
        }
        if !is_draining && self.membership.view().me().presence == Presence::Leaving {
            return Err(Status::failed_precondition("the process is about to stop, and is given nothing any more"));
        }
        let presence = if is_draining { Presence::Draining } else { Presence::Whole };
        self.membership.set_presence(presence).await;
        if is_draining {
            let all: Vec<_> = (1..=self.history.shard_count()).map(ShardId).collect();
            if timeout(LETTING_GO, self.history.released(&all)).await.is_err() {
                tracing::warn!("some shards are not let go in time");
            }
        }
        let view = self.membership.view();
        let shard_ids = self.history.held().into_iter().map(|shard| shard.0).collect();
        Ok(SetDrainingResponse { member: Some(info(&view, view.me())), shard_ids })
    }
}

/// The process that an operator names.
fn find<'v>(view: &'v View, named: &str) -> Result<&'v Member, Status> {
    if named.is_empty() {
        return Err(Status::invalid_argument("process is missing"));
    }
    if let Some(member) = view.all().find(|member| member.address == named || member.id.to_string() == named) {
        return Ok(member);
    }
    let of_name: Vec<_> = view.all().filter(|member| member.host == named).collect();
    match of_name[..] {
        [member] => Ok(member),
        [] => Err(Status::not_found(format!("no process is called {named:?}, lies there or has that id"))),
        _ => {
            let addresses: Vec<_> = of_name.iter().map(|member| member.address.as_str()).collect();
            let several = format!("there are several processes on {named}: name one of {}", addresses.join(", "));
            Err(Status::invalid_argument(several))
        }
    }
}

/// A service of this process whose keys nobody else could be given.
fn irreplaceable(view: &View) -> Option<Service> {
    let me = view.me();
    let is_alone = |service: &Service| {
        me.services.contains(*service)
            && !view.members(*service).any(|member| member.id != me.id && !member.is_draining())
    };
    [Service::History, Service::Matching].into_iter().find(is_alone)
}

fn info(view: &View, member: &Member) -> MemberInfo {
    MemberInfo {
        id: member.id.to_string(),
        host: member.host.clone(),
        address: member.address.clone(),
        services: member.services.iter().map(Service::as_str).map(str::to_owned).collect(),
        started: Some(member.started.into()),
        is_draining: member.is_draining(),
        is_me: member.address == view.me().address,
    }
}
