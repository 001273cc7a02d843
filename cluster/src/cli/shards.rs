//! `meridian cluster shards`: whose each shard is.

use std::{collections::BTreeMap, fmt};

use proto::meridian::membership::v1::{
    ListShardsRequest, ShardInfo, membership_service_client::MembershipServiceClient,
};
use serde::Serialize;

use super::{Answer, Failed, Output, connection::Address, table::Table};

/// Ask and show.
pub(super) async fn show(address: &Address, output: Output) -> Result<(), Failed> {
    let mut client = MembershipServiceClient::new(address.connect().await?);
    let answer = client.list_shards(ListShardsRequest {}).await;
    let shards = answer.map_err(|status| address.failed("list the shards", &status))?.into_inner().shards;
    Owners::new(shards).write(output);
    Ok(())
}

/// Every owner with its shards, by address; one that is no address has those that nobody owns.
#[derive(Debug, Serialize)]
struct Owners {
    owners: Vec<Owner>,
}

#[derive(Debug, Serialize)]
struct Owner {
    address: String,
    host: String,
    shards: Vec<u32>,
}

impl Owners {
    fn new(shards: Vec<ShardInfo>) -> Self {
        let mut owners: BTreeMap<(String, String), Vec<u32>> = BTreeMap::new();
        for shard in shards {
            owners.entry((shard.address, shard.host)).or_default().push(shard.shard_id);
        }
        let owner = |((address, host), shards)| Owner { address, host, shards };
        Self { owners: owners.into_iter().map(owner).collect() }
    }
}

impl fmt::Display for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["ADDRESS", "HOST", "COUNT", "SHARDS"]);
        for Owner { address, host, shards } in &self.owners {
            let (address, host) = match address.is_empty() {
                true => ("nobody".to_owned(), String::new()),
                false => (address.clone(), host.clone()),
            };
            table.row([address, host, shards.len().to_string(), ranges(shards)]);
        }
        table.fmt(f)
    }
}

/// Growing numbers, those that follow each other as `3-5`.
pub(super) fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let range = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners() -> Owners {
        let shard = |shard_id, host: &str| {
            let address = if host.is_empty() { String::new() } else { format!("{host}:7234") };
            ShardInfo { shard_id, address, host: host.into() }
        };
        Owners::new(vec![shard(1, "h2"), shard(2, "h1"), shard(3, "h2"), shard(4, "h2"), shard(5, "h2"), shard(6, "")])
    }

    #[test]
    fn text() {
        let expected = "\
ADDRESS  HOST  COUNT  SHARDS
nobody         1      6
h1:7234  h1    1      2
h2:7234  h2    4      1,3-5
";
        assert_eq!(owners().render(Output::Text), expected);
    }

    #[test]
    fn json() {
        let value: serde_json::Value = serde_json::from_str(&owners().render(Output::Json)).unwrap();
        let expected = serde_json::json!({"address": "h2:7234", "host": "h2", "shards": [1, 3, 4, 5]});
        assert_eq!(value["owners"][2], expected);
    }
}
