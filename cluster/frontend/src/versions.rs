//! Versions of clients and servers that may speak with each other (api 2.4).

use crate::{caller::Caller, errors::Error};

/// The version of Temporal's server that this one behaves like. Client libraries go by it; what version of Meridian this is
/// stands elsewhere.
pub const SERVER_VERSION: &str = "1.32.0";

/// The client libraries that are known to speak this API only up to some version. Others are not asked.
pub const SUPPORTED_CLIENTS: [(&str, &str); 8] = [
    ("Nexus-go-sdk", "<2.0.0"),
    ("temporal-cli", "<2.0.0"),
    ("temporal-go", "<2.0.0"),
    ("temporal-java", "<2.0.0"),
    ("temporal-php", "<2.0.0"),
    ("temporal-server", "<2.0.0"),
    ("temporal-typescript", "<2.0.0"),
    ("temporal-ui", "<3.0.0"),
];

/// Whether the caller's library and this server want each other.
pub(crate) fn check(caller: &Caller) -> Result<(), Error> {
    let (name, version) = (caller.header("client-name"), caller.header("client-version"));
    if name.is_empty() || version.is_empty() {
        return Ok(());
    }
    if let Some((_, supported)) = SUPPORTED_CLIENTS.iter().find(|(known, _)| *known == name) {
        let parsed =
            Version::parse(version).map_err(|why| Error::invalid(format!("Unable to parse client version: {why}")))?;
        if !Range::parse(supported).expect("ours").contains(&parsed) {
            return Err(Error::ClientVersionNotSupported {
                name: name.into(),
                version: version.into(),
                supported: (*supported).into(),
            });
        }
    }
    let wanted = caller.header("supported-server-versions");
    if !wanted.is_empty() {
        let range = Range::parse(wanted)
            .map_err(|why| Error::invalid(format!("Unable to parse supported server versions: {why}")))?;
        if !range.contains(&Version::parse(SERVER_VERSION).expect("ours")) {
            return Err(Error::ServerVersionNotSupported { version: SERVER_VERSION.into(), wanted: wanted.into() });
        }
    }
    Ok(())
}

/// A semantic version; what distinguishes builds of one release does not matter here.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Version {
    numbers: [u64; 3],
    /// Identifiers after a hyphen. A version that has some comes before the one that has none.
    pre_release: Option<String>,
}

impl Version {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.split('+').next().unwrap_or_default();
        let (numbers, pre_release) = match text.split_once('-') {
            Some((numbers, pre_release)) => (numbers, Some(pre_release.to_owned())),
            None => (text, None),
        };
        let mut parts = numbers.split('.');
        let mut number = || {
            let part = parts.next().ok_or("No Major.Minor.Patch elements found")?;
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { part.parse().map_err(|_| TOO_LARGE) } else { Err("Invalid character(s) found in a number") }
        };
        // The first complaint of somebody who sends no version at all is that it is none.
        if numbers.split('.').count() != 3 {
            return Err("No Major.Minor.Patch elements found");
        }
        Ok(Self { numbers: [number()?, number()?, number()?], pre_release })
    }

    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (&self.pre_release, &other.pre_release) {
            (None, None) => std::cmp::Ordering::Equal,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(_), None) => std::cmp::Ordering::Less,
            (Some(a), Some(b)) => a.cmp(b),
        })
    }
}

/// Alternatives, of which each is a list of bounds that all hold: `>=1.0.0 <2.0.0 || >3.0.0`.
#[derive(Clone, Debug)]
struct Range(Vec<Vec<(Bound, Version)>>);

#[derive(Clone, Copy, Debug)]
enum Bound {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
    Not,
}

impl Range {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let alternative = |text: &str| {
            let bounds: Vec<_> = text.split_whitespace().map(Self::bound).collect::<Result<_, _>>()?;
            if bounds.is_empty() { Err("an alternative is empty") } else { Ok(bounds) }
        };
        text.split("||").map(alternative).collect::<Result<_, _>>().map(Self)
    }

    fn bound(text: &str) -> Result<(Bound, Version), &'static str> {
        const BOUNDS: [(&str, Bound); 8] = [
            ("<=", Bound::AtMost),
            (">=", Bound::AtLeast),
            ("==", Bound::Equal),
            ("!=", Bound::Not),
            ("<", Bound::Below),
            (">", Bound::Above),
            ("=", Bound::Equal),
            ("!", Bound::Not),
        ];
        let found = BOUNDS.iter().find_map(|(sign, bound)| Some((*bound, text.strip_prefix(sign)?)));
        let (bound, version) = found.unwrap_or((Bound::Equal, text));
        Ok((bound, Version::parse(version)?))
    }

    fn contains(&self, version: &Version) -> bool {
        self.0.iter().any(|bounds| {
            bounds.iter().all(|(bound, limit)| {
                let order = version.compare(limit);
                match bound {
                    Bound::Below => order.is_lt(),
                    Bound::AtMost => order.is_le(),
                    Bound::Above => order.is_gt(),
                    Bound::AtLeast => order.is_ge(),
                    Bound::Equal => order.is_eq(),
                    Bound::Not => order.is_ne(),
                }
            })
        })
    }
}

const TOO_LARGE: &str = "a number is too large";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |range: &str, inside: &[&str], outside: &[&str]| {
            let range = Range::parse(range).unwrap();
            for version in inside {
                assert!(range.contains(&Version::parse(version).unwrap()), "{version} in {range:?}");
            }
            for version in outside {
                assert!(!range.contains(&Version::parse(version).unwrap()), "{version} not in {range:?}");
            }
        };
        check("<2.0.0", &["0.0.1", "1.99.99", "2.0.0-rc.1"], &["2.0.0", "2.0.1", "10.0.0"]);
        check(">=1.0.0 <2.0.0", &["1.0.0", "1.32.0+build-7"], &["0.9.0", "2.0.0", "1.0.0-beta"]);
        check("<1.0.0 || >=3.0.0", &["0.1.0", "3.0.0"], &["1.0.0", "2.9.9"]);
        check("1.2.3", &["1.2.3"], &["1.2.4"]);
        check("!1.2.3 >1.0.0", &["1.2.4"], &["1.2.3", "1.0.0"]);
    }

    #[test]
    fn what_is_no_version_or_range() {
        for text in ["", "abc", "1", "1.2", "1.2.3.4", "1.2.x", "1..2", "-1.2.3", "99999999999999999999.0.0"] {
            assert!(Version::parse(text).is_err(), "{text}");
        }
        for text in ["", "xx", "<2.0.0 ||", "<<1.0.0", "> 1.0.0"] {
            assert!(Range::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn callers() {
        let check = |headers: &[(&'static str, &str)], expected: Option<&str>| {
            let caller = crate::rpcs::tests::caller("GetSystemInfo", headers);
            let message = check(&caller).err().map(|error| tonic::Status::from(error).message().to_owned());
            assert_eq!(message.as_deref(), expected, "{headers:?}");
        };
        check(&[], None);
        check(&[("client-name", "temporal-go"), ("client-version", "1.48.0")], None);
        check(
            &[("client-name", "temporal-go"), ("client-version", "3.0.0")],
            Some("Client version 3.0.0 is not supported. Server supports temporal-go versions: <2.0.0"),
        );
        check(
            &[("client-name", "temporal-go"), ("client-version", "abc")],
            Some("Unable to parse client version: No Major.Minor.Patch elements found"),
        );
        check(&[("client-name", "temporal-python"), ("client-version", "abc")], None);
        // Alone it does not count.
        check(&[("supported-server-versions", ">=2.0.0")], None);
        let python = [("client-name", "temporal-python"), ("client-version", "1.0.0")];
        let with = |range| [python[0], python[1], ("supported-server-versions", range)];
        check(&with(">=1.0.0 <2.0.0"), None);
        check(
            &with(">=2.0.0"),
            Some("Server version 1.32.0 is not supported. Client supports server versions: >=2.0.0"),
        );
        check(&with("x"), Some("Unable to parse supported server versions: No Major.Minor.Patch elements found"));
    }
}
