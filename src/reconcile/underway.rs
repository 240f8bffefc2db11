//! The engine's calls that are under way: what is waited for, and since when.
//!
//! An engine that hangs on one call says nothing of it. Whoever asks how a service
//! is must hear that it waits for the engine, and for which call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture, stream::BoxStream};
use tokio::time::Instant;

use super::engine::{Change, Done, Engine, EngineError, Progress};
use crate::{
    plan::Action,
    workspace::{ContainerName, ImageRef, Observed},
};

/// A call that takes longer is worth telling of: most take a tenth of it.
const SLOW: Duration = Duration::from_secs(5);

/// An engine of which is known what it is doing.
pub(super) struct Underway {
    engine: Arc<dyn Engine>,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    begun: u64,
    open: BTreeMap<u64, Call>,
}

struct Call {
    action: String,
    container: Option<ContainerName>,
    image: Option<ImageRef>,
    since: Instant,
}

impl Underway {
    pub(super) fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            calls: Mutex::default(),
        }
    }

    /// What a service with this image and these containers waits for, if that takes long.
    pub(super) fn slow(&self, image: &ImageRef, containers: &[ContainerName]) -> Option<String> {
        let calls = self.lock();
        let mut open = calls.open.values();
        let call = open.find(|call| {
            let is_about = call.image.as_ref() == Some(image)
                || call
                    .container
                    .as_ref()
                    .is_some_and(|container| containers.contains(container));
            is_about && call.since.elapsed() >= SLOW
        })?;
        let seconds = call.since.elapsed().as_secs();
        Some(format!(
            "waits for the engine: `{}`, {seconds} s so far",
            call.action
        ))
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        // Nothing panics while it is held; if something did, the map is whole.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the note of a call, also of one that is given up.
struct Open<'a> {
    underway: &'a Underway,
    number: u64,
}

impl<'a> Open<'a> {
    fn new(underway: &'a Underway, action: &Action) -> Self {
        let (container, image) = about(action);
        let mut calls = underway.lock();
        calls.begun += 1;
        let number = calls.begun;
        let call = Call {
            action: action.to_string(),
            container: container.cloned(),
            image: image.cloned(),
            since: Instant::now(),
        };
        calls.open.insert(number, call);
        drop(calls);
        Self { underway, number }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.underway.lock().open.remove(&self.number);
    }
}

/// Whom an action is about.
fn about(action: &Action) -> (Option<&ContainerName>, Option<&ImageRef>) {
    match action {
        Action::PullImage { image } | Action::BuildImage { image } => (None, Some(image)),
        Action::Launch(launch) | Action::Create(launch) => (Some(&launch.name), None),
        Action::Start { container, .. }
        | Action::Restart { container, .. }
        | Action::Stop { container, .. }
        | Action::Remove { container }
        | Action::Update { container, .. }
        | Action::Reload { container, .. }
        | Action::ConnectNetwork { container, .. }
        | Action::DisconnectNetwork { container, .. }
        | Action::Rename { to: container, .. } => (Some(container), None),
        Action::CreateNetwork { .. }
        | Action::RemoveNetwork { .. }
        | Action::CreateVolume { .. }
        | Action::RemoveVolume { .. }
        | Action::Await { .. } => (None, None),
    }
}

impl Engine for Underway {
    fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
        self.engine.observe()
    }

    fn glance(&self) -> BoxFuture<'_, Result<Option<Observed>, EngineError>> {
        self.engine.glance()
    }

    fn perform<'a>(
        &'a self,
        action: &'a Action,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Done, EngineError>> {
        async move {
            let _open = Open::new(self, action);
            self.engine.perform(action, progress).await
        }
        .boxed()
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        self.engine.changes()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::pending;

    use super::*;
    use crate::plan::test_workspace::name;

    /// Never done with anything.
    struct Stuck;

    impl Engine for Stuck {
        fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
            pending().boxed()
        }

        fn perform<'a>(
            &'a self,
            _: &'a Action,
            _: &'a (dyn Fn(Progress) + Send + Sync),
        ) -> BoxFuture<'a, Result<Done, EngineError>> {
            pending().boxed()
        }

        fn changes(&self) -> BoxStream<'static, Change> {
            Box::pin(futures_util::stream::empty())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_told_of_once_it_is_slow_and_until_it_is_given_up() {
        let underway = Underway::new(Arc::new(Stuck));
        let image: ImageRef = ImageRef::new("node:20").unwrap();
        let (web, other) = ([name("shop-web-1")], [name("shop-api-1")]);
        let stop = Action::Remove {
            container: web[0].clone(),
        };
        let mut call = underway.perform(&stop, &|_| ());
        assert!(futures_util::poll!(&mut call).is_pending());
        assert_eq!(underway.slow(&image, &web), None);
        tokio::time::advance(SLOW).await;
        assert_eq!(
            underway.slow(&image, &web).unwrap(),
            "waits for the engine: `remove shop-web-1`, 5 s so far"
        );
        assert_eq!(underway.slow(&image, &other), None);
        drop(call);
        assert_eq!(underway.slow(&image, &web), None);
    }
}
