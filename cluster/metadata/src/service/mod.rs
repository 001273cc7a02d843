//! The calls that are answered here.

mod admin;
mod attributes;
mod namespaces;
mod operator;

pub use admin::{About, Admin};
pub use attributes::system_search_attributes;
pub use namespaces::{NamespaceCalls, Offer};
pub use operator::Operator;
