//! `meridian.membership.v1.MembershipService`: which processes a cluster has.

use config::Service;
use membership::{Member, View};
use proto::meridian::membership::v1::{
    ListMembersRequest, ListMembersResponse, MemberInfo, membership_service_server::MembershipService,
};
use tonic::{Request, Response, Status, async_trait};

use super::Operations;

#[async_trait]
impl MembershipService for Operations {
    async fn list_members(&self, _: Request<ListMembersRequest>) -> Result<Response<ListMembersResponse>, Status> {
        let view = self.membership.view();
        Ok(Response::new(ListMembersResponse { members: view.all().map(|member| info(&view, member)).collect() }))
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
