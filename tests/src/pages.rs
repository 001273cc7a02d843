//! What a server answers over plain HTTP: health, and what it counts.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// What a page says, and with which code.
///
/// # Panics
///
/// When nobody answers, or what answers is no page.
#[must_use]
pub fn page(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("connect to {address}: {error}"));
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let text = answer.split_once("\r\n\r\n").map(|(_, text)| text.to_owned());
    (code.expect("a code"), text.expect("a page"))
}

/// What a server counted up to some moment.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    /// What `/metrics` says at an address.
    ///
    /// # Panics
    ///
    /// When it says nothing.
    #[must_use]
    pub fn read(address: &str) -> Self {
        let (code, text) = page(address, "/metrics");
        assert_eq!(code, 200, "{text}");
        Self(text)
    }

    /// The sum over all series of this name that have these labels, whatever others they have.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let series = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            let (of, value) = rest.rsplit_once(' ')?;
            let has = |(label, value): &(&str, &str)| {
                let text = format!("{label}=\"{value}\"");
                of.contains(&format!("{{{text}")) || of.contains(&format!(",{text}"))
            };
            labels.iter().all(has).then(|| value.parse::<f64>().ok())?
        });
        series.sum()
    }

    /// Everything, for whoever looks at why a number is not as it should be.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_name_and_labels() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"4\"} 5\na_b{x=\"1\"} 7\na 9\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!(metrics.sum("a", &[]), 17.0);
        assert_eq!(metrics.sum("a", &[("x", "1")]), 8.0);
        assert_eq!(metrics.sum("a", &[("y", "4"), ("x", "1")]), 5.0);
        assert_eq!(metrics.sum("a", &[("z", "1")]), 0.0);
    }
}
