//! Serving HTTP, and stopping at once when told to.

use std::{future::IntoFuture, io, time::Duration};

use axum::{Router, extract::DefaultBodyLimit};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::sleep,
};

/// An entry is a kilobyte.
const LONGEST_BODY: usize = 32 * 1024;

/// What a request that is being answered gets after a SIGTERM.
const LAST_WORDS: Duration = Duration::from_millis(700);

/// Serves until SIGTERM or SIGINT. Process 1 of a container must listen to
/// these, as nothing ends it otherwise.
pub(crate) async fn serve(address: &str, routes: Router) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);

    let (stop, stopped) = oneshot::channel::<()>();
    let routes = routes.layer(DefaultBodyLimit::max(LONGEST_BODY));
    let serving = axum::serve(listener, routes).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let told = async {
        // Both are cancel-safe: a signal stays noted until it is received.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        println!("stopping");
        drop(stop);
        sleep(LAST_WORDS).await;
    };
    // What is cut off here had its time.
    tokio::select! {
        served = serving.into_future() => served,
        () = told => Ok(()),
    }
}
