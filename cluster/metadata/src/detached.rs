//! Work that is finished once it is begun.

use std::future::Future;

use store::Spawner;
use tokio::sync::oneshot;
use tonic::Status;

/// Run `work` to its end even if whoever asked hangs up: what is in memory must follow what was written.
pub(crate) async fn detached<T: Send + 'static>(
    spawn: &Spawner,
    work: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    let (answer, wait) = oneshot::channel();
    spawn(Box::pin(async move {
        // Nobody may be waiting any more.
        let _ = answer.send(work.await);
    }));
    wait.await.unwrap_or_else(|_| Err(Status::unavailable("the server is stopping")))
}
