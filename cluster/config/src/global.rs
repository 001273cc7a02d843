//! `global`: metrics, TLS, how hosts find each other, and what does not exist yet.

use std::net::SocketAddr;

use crate::{address, host::Membership, report::Report, section::Section, service::Services, tls::Tls};

/// What the section says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Global {
    /// Where metrics are served, if anywhere.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) membership: Membership,
    pub(crate) tls: Tls,
}

impl Global {
    pub(crate) fn read(mut global: Section<'_>, services: Option<Services>, report: &mut Report) -> Option<Self> {
        let tls = global.section("tls", report).and_then(|section| Tls::read(section, services, report));
        global.refused("authorization", NO_AUTHORIZATION, report);
        let membership = global.section("membership", report);
        let membership = membership.and_then(|section| Membership::read(section, services, report));
        let pprof = global.section("pprof", report).map(|section| read_pprof(section, report));
        let metrics = global.section("metrics", report).and_then(|section| read_metrics(section, report));
        global.finish(report);
        pprof?;
        Some(Self { metrics: metrics?, membership: membership?, tls: tls? })
    }
}

fn read_pprof(mut pprof: Section<'_>, report: &mut Report) {
    pprof.port("port", report);
    for key in ["port", "host"] {
        pprof.inert(key, "there is no profiling endpoint", report);
    }
    pprof.finish(report);
}

fn read_metrics(mut metrics: Section<'_>, report: &mut Report) -> Option<Option<SocketAddr>> {
    let listen = metrics.section("prometheus", report).and_then(|mut prometheus| {
        let listen = read_listen_address(&mut prometheus, report);
        for key in ["framework", "timerType", "handlerPath", "loggerRPS"] {
            prometheus.inert(key, FIXED_METRICS, report);
        }
        prometheus.finish(report);
        listen
    });
    metrics.inert("statsd", "metrics are served to Prometheus only", report);
    for key in ["tags", "excludeTags", "prefix", "perUnitHistogramBoundaries"] {
        metrics.inert(key, FIXED_METRICS, report);
    }
    for key in ["withoutUnitSuffix", "withoutCounterSuffix", "recordTimerInSeconds"] {
        metrics.inert(key, FIXED_METRICS, report);
    }
    metrics.finish(report);
    listen
}

fn read_listen_address(prometheus: &mut Section<'_>, report: &mut Report) -> Option<Option<SocketAddr>> {
    let text = prometheus.text("listenAddress", report)?;
    if text.is_empty() {
        return Some(None);
    }
    let address = address::listen(&text);
    if address.is_none() {
        let problem =
            format!("is {text:?}; an address such as 127.0.0.1:9090, or :9090 for every interface, is required");
        report.problem(prometheus.path("listenAddress"), problem);
    }
    address.map(Some)
}

const NO_AUTHORIZATION: &str = "authorization does not exist yet, and every caller would be allowed everything; \
                                remove this section, and start only where every caller is trusted";

const FIXED_METRICS: &str = "names, tags and buckets of metrics are fixed";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::read;

    #[test]
    fn metrics_are_optional() {
        for text in ["", "{metrics: }", "{metrics: {prometheus: {listenAddress: ''}}}"] {
            assert_eq!(
                read("global", text, alone),
                (Some(Global { metrics: None, membership: Membership::default(), tls: Tls::default() }), vec![])
            );
        }
        let metrics = Some("127.0.0.1:7253".parse().unwrap());
        let text = "{metrics: {prometheus: {listenAddress: '127.0.0.1:7253'}}}";
        assert_eq!(
            read("global", text, alone),
            (Some(Global { metrics, membership: Membership::default(), tls: Tls::default() }), vec![])
        );
    }

    #[test]
    fn listen_address() {
        check(
            "{metrics: {prometheus: {listenAddress: 9090}}}",
            "! global.metrics.prometheus.listenAddress: is \"9090\"; an address such as 127.0.0.1:9090, or :9090 for \
             every interface, is required",
        );
        check(
            "{metrics: {statsd: {hostPort: 'a:1'}, prometheus: {timerType: histogram}}}",
            "~ global.metrics.prometheus.timerType: has no effect: names, tags and buckets of metrics are fixed\n\
             ~ global.metrics.statsd: has no effect: metrics are served to Prometheus only",
        );
    }

    #[test]
    fn authorization_is_refused() {
        check("{authorization: {authorizer: default}}", &format!("! global.authorization: {NO_AUTHORIZATION}"));
        check("{authorization: {}}", "");
        check("{authorization: {jwtKeyProvider: {keySourceURIs: }, authorizer: '', claimMapper: ''}}", "");
    }

    #[test]
    fn membership() {
        check(
            "{membership: {maxJoinDuration: 30s, broadcastAddress: 127.0.0.1, port: 1}}",
            "~ global.membership.maxJoinDuration: has no effect: one process is the whole cluster, there is nothing \
             to join\n\
             ~ global.membership.broadcastAddress: has no effect: one process is the whole cluster, there is nothing \
             to join\n\
             ~ global.membership.port: is not a known key and is ignored",
        );
        check("{membership: {maxJoinDuration: 0s}}", "");
        check("{pprof: {port: 7936}}", "~ global.pprof.port: has no effect: there is no profiling endpoint");
        check("{pprof: 1}", "! global.pprof: is a whole number; a section of keys is required");
    }

    /// As a process that is the whole cluster reads it.
    fn alone(section: Section<'_>, report: &mut Report) -> Option<Global> {
        Global::read(section, None, report)
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(read("global", text, alone).1.join("\n"), expected, "{text}");
    }
}
