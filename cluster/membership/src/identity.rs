//! A member as gossip names it.

use std::net::SocketAddr;

use crate::member::Member;

/// A member, and how often it said something new of itself. Of two with one address the one counts that began later, and
/// of one life the latest word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) member: Member,
    pub(crate) generation: u32,
}

impl Identity {
    /// The first word of a life.
    pub(crate) fn first(member: Member) -> Self {
        Self { member, generation: 0 }
    }

    /// The next word; `None` when there have been more than can be counted.
    pub(crate) fn next(&self, member: Member) -> Option<Self> {
        Some(Self { member, generation: self.generation.checked_add(1)? })
    }
}

impl foca::Identity for Identity {
    type Addr = SocketAddr;

    /// A member that others believe dead says so anew.
    fn renew(&self) -> Option<Self> {
        self.next(self.member.clone())
    }

    fn addr(&self) -> SocketAddr {
        self.member.gossip
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        let order = |identity: &Self| (identity.member.started, identity.member.id, identity.generation);
        order(self) > order(other)
    }
}
