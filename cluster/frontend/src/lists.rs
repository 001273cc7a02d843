//! What the frontend wants of the store: lists and counts of runs.

use std::sync::Arc;

use replicator::ids::NamespaceId;
use store::{
    Answer, Store,
    visibility::{Count, Page, VisibilityError},
};

/// Answers lists and counts. See [`Store`] for what each call promises.
pub trait Lists: Send + Sync + 'static {
    /// A page of runs.
    fn list<'a>(
        &'a self,
        namespace: NamespaceId,
        query: &'a str,
        page_size: usize,
        token: &'a [u8],
    ) -> Answer<'a, Result<Page, VisibilityError>>;

    /// How many there are.
    fn count<'a>(&'a self, namespace: NamespaceId, query: &'a str) -> Answer<'a, Result<Count, VisibilityError>>;
}

impl Lists for Arc<dyn Store> {
    fn list<'a>(
        &'a self,
        namespace: NamespaceId,
        query: &'a str,
        page_size: usize,
        token: &'a [u8],
    ) -> Answer<'a, Result<Page, VisibilityError>> {
        Store::list(&**self, namespace, query, page_size, token)
    }

    fn count<'a>(&'a self, namespace: NamespaceId, query: &'a str) -> Answer<'a, Result<Count, VisibilityError>> {
        Store::count(&**self, namespace, query)
    }
}
