//! What a host knows of the cluster at one moment.
//!
//! A key belongs to the member that scores highest for it (rendezvous hashing): every host that knows the same members
//! finds the same owner, without a table and without talking. When a member joins, the keys that it takes come from all
//! others evenly and no other key moves; when it goes, its keys spread the same way.

use std::collections::BTreeMap;

use config::Service;

use crate::member::Member;

/// The members of a cluster as one of them sees it. It does not change; a change is another view.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct View {
    /// By address, so that all views go through them in the same order. This host is always among them.
    members: BTreeMap<String, Member>,
    /// The address of this host.
    me: String,
}

impl View {
    /// A host and the others that it knows. Of two with one address the one that began later counts; of two that are this
    /// host, this one.
    pub fn new(me: Member, others: impl IntoIterator<Item = Member>) -> Self {
        let mut members = BTreeMap::<String, Member>::new();
        for other in others {
            let is_older = |known: &Member| (known.started, known.id) > (other.started, other.id);
            if !members.get(&other.address).is_some_and(is_older) {
                members.insert(other.address.clone(), other);
            }
        }
        let address = me.address.clone();
        members.insert(address.clone(), me);
        Self { members, me: address }
    }

    /// This host.
    #[must_use]
    pub fn me(&self) -> &Member {
        &self.members[&self.me]
    }

    /// Everybody, by address.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Those that run a service, by address, draining ones included.
    pub fn members(&self, service: Service) -> impl Iterator<Item = &Member> {
        self.all().filter(move |member| member.services.contains(service))
    }

    /// The member at an address.
    #[must_use]
    pub fn at(&self, address: &str) -> Option<&Member> {
        self.members.get(address)
    }

    /// Whose a key of a service is. Nobody's when nobody runs the service, or all who do are about to go.
    #[must_use]
    pub fn owner(&self, service: Service, key: &[u8]) -> Option<&Member> {
        let key = hash(key);
        self.takers(service).max_by_key(|member| score(key, member))
    }

    /// Those who may have a part of a key that is shared out: its owner first, then whoever would be if that one were gone,
    /// and so on.
    #[must_use]
    pub fn owners(&self, service: Service, key: &[u8]) -> Vec<&Member> {
        let key = hash(key);
        let mut owners: Vec<_> = self.takers(service).collect();
        owners.sort_by(|one, other| score(key, other).cmp(&score(key, one)));
        owners
    }

    /// Those that are given keys of a service.
    fn takers(&self, service: Service) -> impl Iterator<Item = &Member> {
        self.members(service).filter(|member| !member.is_draining())
    }

    /// Whether a key of a service is this host's.
    #[must_use]
    pub fn is_mine(&self, service: Service, key: &[u8]) -> bool {
        self.owner(service, key).is_some_and(|owner| owner.address == self.me)
    }
}

/// How much of a claim a member has on the key of this hash. No two members have the same.
fn score(key: u64, member: &Member) -> (u64, &str) {
    (stir(key ^ stir(hash(member.address.as_bytes()))), &member.address)
}

/// FNV-1a of 64 bits. All hosts of a cluster, of whatever age, must agree on an owner, so this may never change.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finish of splitmix64: every bit of the input moves every bit of the output, which FNV alone does not do for the
/// last bytes of a key.
#[must_use]
pub fn stir(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use config::Services;
    use replicator::time::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::member::Presence;

    const SERVICE: Service = Service::History;

    /// Hosts by their names, the first of which looks. `b!` is draining.
    fn view(hosts: &str) -> View {
        let mut members = hosts.split(' ').map(member);
        View::new(members.next().expect("somebody looks"), members)
    }

    fn member(notation: &str) -> Member {
        let host = notation.trim_end_matches('!');
        Member {
            id: Uuid::nil(),
            host: host.to_owned(),
            address: format!("{host}:7234"),
            gossip: ([127, 0, 0, 1], 6934).into(),
            services: Services::ALL,
            started: Timestamp::ZERO,
            presence: if notation.ends_with('!') { Presence::Draining } else { Presence::Whole },
        }
    }

    /// The hosts that own the shards 1 to `shards`.
    fn owners(view: &View, shards: u32) -> Vec<String> {
        let owner = |shard: u32| view.owner(SERVICE, &shard.to_be_bytes()).map_or("-", |owner| &owner.host).to_owned();
        (1..=shards).map(owner).collect()
    }

    #[test]
    fn every_host_finds_the_same_owner() {
        assert_eq!(owners(&view("a b c d"), 1_000), owners(&view("c d b a"), 1_000));
    }

    #[test]
    fn keys_are_spread_evenly() {
        let owners = owners(&view("a b c d e"), 10_000);
        for host in ["a", "b", "c", "d", "e"] {
            let share = owners.iter().filter(|owner| *owner == host).count();
            assert!((1_800..2_200).contains(&share), "{host} owns {share} of 10,000");
        }
    }

    #[test]
    fn when_a_host_joins_only_the_keys_that_it_takes_move() {
        let (before, after) = (owners(&view("a b c"), 4_096), owners(&view("a b c d"), 4_096));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        assert!((900..1_150).contains(&moved.len()), "{} of 4,096 moved to one of four", moved.len());
        assert!(moved.iter().all(|(_, to)| *to == "d"));
    }

    #[test]
    fn who_comes_next_is_who_would_own_it() {
        let all = view("a b c d");
        for key in 0..100_u32 {
            let owners: Vec<_> =
                all.owners(SERVICE, &key.to_be_bytes()).into_iter().map(|one| one.host.clone()).collect();
            assert_eq!(owners.len(), 4);
            let mut left = owners.clone();
            for expected in owners {
                let owner = view(&left.join(" ")).owner(SERVICE, &key.to_be_bytes()).map(|owner| owner.host.clone());
                assert_eq!(owner.as_ref(), Some(&expected));
                left.remove(0);
            }
        }
        assert_eq!(view("a! b c").owners(SERVICE, b"k").len(), 2);
    }

    #[test]
    fn a_draining_host_owns_nothing_and_is_still_there() {
        let (draining, gone) = (view("a b! c"), view("a c"));
        assert_eq!(owners(&draining, 1_000), owners(&gone, 1_000));
        assert_eq!(draining.members(SERVICE).count(), 3);
        assert_eq!(owners(&view("a! b!"), 2), ["-", "-"]);
    }

    #[test]
    fn only_those_that_run_a_service_own_its_keys() {
        let mut frontend = member("f");
        frontend.services = [Service::Frontend].into_iter().collect();
        let view = View::new(frontend, [member("h")]);
        assert!(owners(&view, 100).iter().all(|owner| owner == "h"));
        assert!(!view.is_mine(SERVICE, b"1"));
        assert_eq!(view.members(Service::Frontend).count(), 2);
    }

    #[test]
    fn of_two_lives_of_one_host_the_later_one_counts() {
        let life = |began: i64| Member { started: Timestamp(began), ..member("b") };
        for lives in [[1, 2], [2, 1]] {
            let view = View::new(member("a"), lives.map(life));
            assert_eq!(view.at("b:7234").map(|member| member.started), Some(Timestamp(2)));
        }
    }

    /// Hosts of different age agree, so these may never change.
    #[test]
    fn owners_are_pinned() {
        assert_eq!(owners(&view("a b c"), 12).concat(), "cacccaacbccc");
    }
}
