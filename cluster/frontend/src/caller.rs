//! Who calls, what, and for how long.

use std::time::Duration;

use bytes::Bytes;
use replicator::time::Timestamp;
use tonic::metadata::MetadataMap;

use crate::rpcs::Rpc;

/// One call, as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The method.
    pub rpc: &'static Rpc,
    /// The encoded request.
    pub request: Bytes,
    /// Headers.
    pub headers: MetadataMap,
    /// When the caller stops waiting, if it ever does.
    pub deadline: Option<Timestamp>,
    /// Whether another host of this cluster passed the call on to us. It is answered here, or refused.
    pub is_inside: bool,
}

impl Caller {
    /// A header's text, empty when there is none or it is no text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether the caller is a tool that shows history to people as it is stored (api 2.4).
    pub(crate) fn shows_history_to_people(&self) -> bool {
        matches!(self.header("client-name"), "temporal-cli" | "temporal-ui")
    }

    /// Whether another cluster passed the call on to us. It is answered here, or refused.
    pub(crate) fn was_forwarded(&self) -> bool {
        self.header(FORWARDED) == "true"
    }

    /// Whether the caller wants an answer from this cluster, whatever it is (FW-8).
    pub(crate) fn insists_on_this_cluster(&self) -> bool {
        matches!(self.header(REDIRECTION), "false" | "0" | "f" | "F" | "FALSE" | "False")
    }
}

/// Header of a caller who does not want to be forwarded.
pub(crate) const REDIRECTION: &str = "xdc-redirection";

/// Header of a call that was forwarded.
pub(crate) const FORWARDED: &str = "xdc-redirection-api";

/// Header of a call that was forwarded: by which cluster.
pub(crate) const FORWARDED_BY: &str = "xdc-redirection-source-cell";

/// Header of a call that was forwarded by a Meridian: under which failover version it belongs where it comes to.
pub(crate) const FORWARDED_VERSION: &str = "meridian-failover-version";

/// How long the caller waits, from its `grpc-timeout` header; nonsense counts as no limit.
pub(crate) fn timeout(headers: &MetadataMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || 8 < digits.len() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        let check = |text: &str, expected| {
            let mut headers = MetadataMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(timeout(&headers), expected, "{text}");
        };
        check("70S", Some(Duration::from_secs(70)));
        check("70000m", Some(Duration::from_secs(70)));
        check("1u", Some(Duration::from_micros(1)));
        check("99999999H", Some(Duration::from_secs(99_999_999 * 3600)));
        check("0n", Some(Duration::ZERO));
        for nonsense in ["", "S", "5", "-1S", "+1S", "1.5S", "999999999S", "1s", "1 S"] {
            check(nonsense, None);
        }
        assert_eq!(timeout(&MetadataMap::new()), None);
    }
}
