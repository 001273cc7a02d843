//! The HTTP endpoints for machines that watch: `/healthz`, `/readyz` and `/metrics`.

use std::{convert::Infallible, future::Future, sync::Arc};

use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, select};

use crate::ports::Spawner;

/// What GET of a path answers: a status, a content type and a text.
pub(crate) type Page = (StatusCode, &'static str, String);

/// The pages there are, by path; `None` for a path that is none.
pub(crate) type Pages = Arc<dyn Fn(&str) -> Option<BoxFuture<'static, Page>> + Send + Sync>;

/// Answer on a socket until `stop`. Connections that are open then are dropped: who watches comes again.
pub(crate) async fn serve(listener: TcpListener, pages: Pages, spawn: Spawner, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = select! {
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // The caller is gone already, or there are too many of them; neither ends the listening.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let pages = pages.clone();
        spawn(Box::pin(async move {
            let service = service_fn(move |request| {
                let pages = pages.clone();
                async move { Ok::<_, Infallible>(answer(&request, &pages).await) }
            });
            // A caller that breaks off is its own affair.
            let _broken = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }));
    }
}

async fn answer(request: &Request<Incoming>, pages: &Pages) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (request.method(), pages(request.uri().path())) {
        (_, None) => (StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
        (&Method::GET | &Method::HEAD, Some(page)) => page.await,
        (_, Some(_)) => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned()),
    };
    let response = Response::builder().status(status).header(CONTENT_TYPE, kind);
    response.body(Full::from(text)).expect("the parts are constants")
}

/// Plain text.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// After an accept that failed.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
