//! The handle on who is there.

use std::sync::Arc;

use crate::{member::Member, view::View};

/// Who is there, as the rest of a host sees it. Clones share it.
#[derive(Clone)]
pub struct Membership {
    view: Arc<watch::Sender<Arc<View>>>,
}

impl Membership {
    /// A cluster of one host: it owns everything, speaks with nobody, and nothing of that ever changes.
    #[must_use]
    pub fn alone(me: Member) -> Self {
        Self { view: Arc::new(watch::Sender::new(Arc::new(View::new(me, [])))) }
    }

    /// Who is there now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Who is there, from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// This host is about to go: from now on nobody gives it keys. It is still there and still answers, so that what it
    /// has can move without a gap. A host that is alone keeps what it has: nobody could take it.
    pub async fn drain(&self) {}

    /// This host is gone: the others forget it at once instead of missing it.
    pub async fn leave(&self) {}
}
