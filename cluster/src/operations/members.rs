//! `meridian.membership.v1.MembershipService`: which processes a cluster has, and which shards each of them.

use config::Service;
use membership::{Member, View};
use proto::meridian::membership::v1::{
    ListMembersRequest, ListMembersResponse, ListShardsRequest, ListShardsResponse, MemberInfo, ShardInfo,
    membership_service_server::MembershipService,
};
use replicator::ids::ShardId;
use tonic::{Request, Response, Status, async_trait};

use super::Operations;

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
}

fn info(view: &View, member: &Member) -> MemberInfo {
    MemberInfo {
        id: member.id.to_string(),
        host: member.host.clone(),
        address: member.address.clone(),
        services: member.services.iter().map(Service::as_str).map(str::to_owned).collect(),
        started: Some(member.started.into()),
        is_draining: member.is_draining,
        is_me: member.address == view.me().address,
    }
}
