//! Addresses: where this process listens, and where others find it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address to listen on that `text` says: `IP:port`, `localhost:port`, or `:port` for every interface.
pub(crate) fn listen(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port_number(port)?;
    match host {
        "" => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
        "localhost" => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        _ => text.parse().ok(),
    }
}

/// Whether `text` is a `host:port` that another process could dial. Names are not resolved.
pub(crate) fn can_be_dialled(text: &str) -> bool {
    let usable = |host: &str| !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control());
    text.rsplit_once(':').is_some_and(|(host, port)| usable(host) && port_number(port).is_some())
}

/// The host and the port of a `host:port` that another process could dial.
pub(crate) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':').filter(|_| can_be_dialled(text))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((host.to_owned(), port_number(port)?))
}

/// Whether two sockets cannot listen on `a` and `b` at the same time.
pub(crate) fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn port_number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        let check = |text, expected: Option<&str>| assert_eq!(listen(text), expected.map(|it| it.parse().unwrap()));
        check("127.0.0.1:7253", Some("127.0.0.1:7253"));
        check("localhost:7253", Some("127.0.0.1:7253"));
        check(":7253", Some("0.0.0.0:7253"));
        check("[::1]:7253", Some("[::1]:7253"));
        for text in ["", ":", "7253", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "host:7253", "::1:+1"] {
            check(text, None);
        }
    }

    #[test]
    fn dialled_addresses() {
        for text in ["127.0.0.1:7233", "a.example:7233", "[::1]:7233", "dns:///a.example:7233"] {
            assert!(can_be_dialled(text), "{text}");
        }
        for text in ["", "a", ":7233", "a:", "a:0", "a:99999", "a b:7233", "a:-1"] {
            assert!(!can_be_dialled(text), "{text}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        let check = |text, expected: Option<(&str, u16)>| {
            assert_eq!(host_and_port(text), expected.map(|(host, port)| (host.to_owned(), port)), "{text}");
        };
        check("db.example:5432", Some(("db.example", 5432)));
        check("[::1]:5432", Some(("::1", 5432)));
        check("db.example", None);
        check(":5432", None);
    }

    #[test]
    fn collisions() {
        let check = |a: &str, b: &str, expected| {
            assert_eq!(collide(a.parse().unwrap(), b.parse().unwrap()), expected);
            assert_eq!(collide(b.parse().unwrap(), a.parse().unwrap()), expected, "must commute");
        };
        check("127.0.0.1:1", "127.0.0.1:1", true);
        check("127.0.0.1:1", "0.0.0.0:1", true);
        check("127.0.0.1:1", "127.0.0.2:1", false);
        check("127.0.0.1:1", "127.0.0.1:2", false);
    }
}
