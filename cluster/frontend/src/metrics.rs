//! What is counted of every call (api 12.5).

use std::time::Duration;

use config::Service;
use tonic::Code;

/// Counts calls, by whatever means the cluster has.
pub trait Meter: Send + Sync + 'static {
    /// A call begins: at the frontend that takes it, and again at the service that answers it. `namespace` is `_unknown_` for a call that has none, or none that there is: callers choose names, and
    /// must not choose how many series there are.
    fn begin(&self, service: Service, operation: &'static str, namespace: &str);

    /// It ends, [`Code::Ok`] or not, or its caller is gone ([`Code::Cancelled`]).
    fn end(&self, service: Service, operation: &'static str, namespace: &str, code: Code, took: Duration);
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uncounted;

impl Meter for Uncounted {
    fn begin(&self, _: Service, _: &'static str, _: &str) {}

    fn end(&self, _: Service, _: &'static str, _: &str, _: Code, _: Duration) {}
}

/// Where a call is counted that has no namespace.
pub(crate) const UNKNOWN: &str = "_unknown_";
