//! Keeps a request until what it asks for is there.
//!
//! Only for what comes by itself: a service that starts, or that ended a moment
//! ago and may be between two starts. Not a byte of the body is read meanwhile,
//! and whoever hangs up is forgotten.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use hyper::{Method, Request};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Shared,
    answer::Form,
    routes::{Leads, Outlook, Routes, Target},
};

/// Between the end of a container and the start of the one in its place; a
/// restart takes a tenth of it. What takes longer has crashed more than once.
const BETWEEN_STARTS: Duration = Duration::from_secs(2);

/// A person sees what is going on after this long, and programs never do.
const PAGE_AFTER: Duration = Duration::from_secs(1);

/// Whether a target is worth waiting for.
pub(super) fn may_come(target: &Target) -> bool {
    matches!(
        &target.leads,
        Leads::Nowhere {
            outlook: Outlook::Starting | Outlook::Ended(_),
            ..
        }
    )
}

/// Whether a person in front of a browser goes somewhere: a page that refreshes
/// itself does for them what waiting does for a program.
pub(super) fn is_navigation<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET && Form::wanted(request.headers()) == Form::Page
}

/// Waits until something answers there, or nothing will. The routes of that moment.
pub(super) async fn until_it_answers(
    shared: &Shared,
    (host, path): (&str, &str),
    is_navigation: bool,
    mut closing: watch::Receiver<bool>,
) -> Arc<Routes> {
    let began = Instant::now();
    let mut changes = shared.route_changes.subscribe();
    loop {
        let routes = shared.routes();
        let Some(target) = routes.find(host, path) else {
            return routes;
        };
        let Leads::Nowhere { outlook, .. } = &target.leads else {
            return routes;
        };
        let patience = target.hold.unwrap_or(shared.limits.hold);
        let given_up = began
            + match is_navigation {
                true => patience.min(PAGE_AFTER),
                false => patience,
            };
        let deadline = match *outlook {
            Outlook::Starting => given_up,
            Outlook::Ended(at) => given_up.min(Instant::now() + left_between_starts(at)),
            Outlook::Down => return routes,
        };
        // Every arm may be dropped: the next look sees what it would have told.
        tokio::select! {
            _ = changes.changed() => {}
            () = sleep_until(deadline) => return routes,
            _ = closing.wait_for(|closing| *closing) => return routes,
        }
    }
}

/// A clock that was set may put the end into the future: no reason to wait longer.
fn left_between_starts(ended: SystemTime) -> Duration {
    let ago = SystemTime::now().duration_since(ended).unwrap_or_default();
    BETWEEN_STARTS.saturating_sub(ago)
}
