//! Namespaces: what a tenant is, which cluster may write for it, and how that changes.

pub mod record;

pub use record::{Namespace, NamespaceState};
