//! Carries out a [`Plan`].
//!
//! Steps run in parallel as soon as everything they need has succeeded. If a
//! step fails, the steps that need it are skipped and the others go on; every
//! failure is told. On a cancel nothing new begins, engine calls that are under
//! way are finished, and waits, which write nothing, are given up.
//!
//! Nothing is decided here: a step that needs a choice belongs in
//! [`crate::plan`], where it can be tested without an engine.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};

use super::{
    engine::{Engine, EngineError, Progress},
    event::{Event, Outcome, Problem},
};
use crate::{
    plan::{Action, Plan, Step, StepId},
    workspace::{AfterCondition, ContainerName},
};

/// Knows when containers are as a dependant needs them.
pub trait Waiter: Send + Sync {
    /// Returns once all of `containers` meet `condition`.
    ///
    /// # Errors
    /// If one of them cannot meet it any more, or not all did within `patience`.
    fn wait<'a>(
        &'a self,
        containers: &'a [ContainerName],
        condition: AfterCondition,
        patience: Duration,
    ) -> BoxFuture<'a, Result<(), Problem>>;

    /// Before a container is stopped: returns once nobody is sent to it any more.
    fn leave<'a>(&'a self, _container: &'a ContainerName) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// The stop after [`Waiter::leave`] was tried.
    fn left(&self, _container: &ContainerName) {}

    /// An action was refused: what that means to a person.
    fn refused(&self, action: &Action, error: &EngineError) -> Problem {
        Problem::of_action(action, error)
    }
}

/// What carries out plans: the engine, and whom to tell.
pub struct Executor<'a> {
    /// What performs the actions.
    pub engine: &'a dyn Engine,
    /// What performs the waits.
    pub waiter: &'a dyn Waiter,
    /// Is told each fact at once. It must not block.
    pub events: &'a (dyn Fn(Event) + Send + Sync),
    /// The most engine calls at once. Waits do not count.
    pub width: usize,
}

/// Six: the engine serialises much of a container's creation, so that four to
/// eight calls at once keep it busy, and more only lengthen every one of them.
pub const WIDTH: usize = 6;

/// What came of carrying out a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Executed {
    /// Steps that succeeded.
    pub succeeded: u32,
    /// Steps that failed.
    pub failed: u32,
    /// Steps that were not tried, or waits that were given up.
    pub skipped: u32,
    /// It was cancelled before its end.
    pub cancelled: bool,
}

impl Executed {
    /// Whether every step succeeded.
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.skipped == 0
    }

    /// The same, as people are told it.
    pub fn outcome(self, services: u32, millis: u64) -> Outcome {
        Outcome {
            succeeded: self.succeeded,
            failed: self.failed,
            skipped: self.skipped,
            services,
            millis,
            held: Vec::new(),
        }
    }
}

impl Executor<'_> {
    /// Carries out `plan`, until done or until `cancel` completes.
    ///
    /// Tells `StepStarted`, `StepProgressed`, and then one of `StepSucceeded`,
    /// `StepFailed` and `StepSkipped` for each step; what comes before and
    /// after a plan is the caller's to tell.
    pub async fn execute(&self, plan: &Plan, cancel: impl Future<Output = ()> + Send) -> Executed {
        let mut queue = Queue::new(plan);
        let mut executed = Executed::default();
        let mut cancel = pin!(cancel.fuse());
        let mut calls = FuturesUnordered::new();
        let mut waits = FuturesUnordered::new();

        loop {
            if cancel.as_mut().now_or_never().is_some() {
                executed.cancelled = true;
                break;
            }
            while calls.len() < self.width.max(1)
                && let Some(step) = queue.next_call()
            {
                calls.push(self.run(step));
            }
            while let Some(step) = queue.next_wait() {
                waits.push(self.run(step));
            }
            if calls.is_empty() && waits.is_empty() {
                break;
            }
            let finished = async {
                // Cancel-safe: dropping `next` loses no future of either set.
                match select(pin!(next(&mut calls)), pin!(next(&mut waits))).await {
                    Either::Left((finished, _)) | Either::Right((finished, _)) => finished,
                }
            };
            match select(pin!(finished), cancel.as_mut()).await {
                Either::Left((finished, _)) => self.settle(finished, &mut queue, &mut executed),
                Either::Right(((), _)) => {
                    executed.cancelled = true;
                    break;
                }
            }
        }

        // A cancelled call is still finished: half a rename helps nobody.
        drop(waits);
        while let Some(finished) = calls.next().await {
            self.settle(finished, &mut queue, &mut executed);
        }
        let told = executed.succeeded + executed.failed + executed.skipped;
        executed.skipped += u32::try_from(plan.steps.len())
            .unwrap_or(u32::MAX)
            .saturating_sub(told);
        executed
    }

    /// Carries out one step.
    async fn run<'a>(&'a self, step: &'a Step) -> (&'a Step, Result<u64, Problem>) {
        let begun = Instant::now();
        (self.events)(Event::StepStarted { step: step.id });
        let result = match &step.action {
            Action::Await {
                containers,
                condition,
                patience,
            } => self.waiter.wait(containers, *condition, *patience).await,
            Action::BuildImage { image } => Err(Problem::new(
                "build_needed",
                format!("image `{image}` is not built yet"),
            )
            .hinted("`cosmos up` builds it")),
            action => {
                let progress = |progress: Progress| {
                    (self.events)(Event::StepProgressed {
                        step: step.id,
                        progress,
                    });
                };
                if let Action::Stop { container, .. } = action {
                    self.waiter.leave(container).await;
                }
                let performed = self.engine.perform(action, &progress).await;
                if let Action::Stop { container, .. } = action {
                    self.waiter.left(container);
                }
                match performed {
                    Ok(_) => Ok(()),
                    Err(error) => Err(self.waiter.refused(action, &error)),
                }
            }
        };
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        (step, result.map(|()| millis))
    }

    /// Tells what came of a step, and lets go or skips what needs it.
    fn settle(
        &self,
        (step, result): (&Step, Result<u64, Problem>),
        queue: &mut Queue<'_>,
        executed: &mut Executed,
    ) {
        match result {
            Ok(millis) => {
                executed.succeeded += 1;
                (self.events)(Event::StepSucceeded {
                    step: step.id,
                    millis,
                });
                queue.succeeded(step.id);
            }
            Err(problem) => {
                executed.failed += 1;
                (self.events)(Event::StepFailed {
                    step: step.id,
                    problem,
                });
                for skipped in queue.failed(step.id) {
                    executed.skipped += 1;
                    (self.events)(Event::StepSkipped {
                        step: skipped,
                        because: step.id,
                    });
                }
            }
        }
    }
}

/// The next result of a set; never, if it is empty.
async fn next<F: Future>(set: &mut FuturesUnordered<F>) -> F::Output {
    match set.next().await {
        Some(output) => output,
        None => std::future::pending().await,
    }
}

/// Which steps may begin: those that need nothing any more.
struct Queue<'a> {
    steps: HashMap<StepId, &'a Step>,
    /// How many needs of a step are still open.
    open: HashMap<StepId, usize>,
    dependants: HashMap<StepId, Vec<StepId>>,
    /// By number, so that of two steps that could begin the earlier one does.
    calls: BTreeSet<StepId>,
    waits: BTreeSet<StepId>,
}

impl<'a> Queue<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut queue = Self {
            steps: plan.steps.iter().map(|step| (step.id, step)).collect(),
            open: HashMap::new(),
            dependants: HashMap::new(),
            calls: BTreeSet::new(),
            waits: BTreeSet::new(),
        };
        for step in &plan.steps {
            queue.open.insert(step.id, step.needs.len());
            for need in &step.needs {
                queue.dependants.entry(*need).or_default().push(step.id);
            }
            if step.needs.is_empty() {
                queue.offer(step.id);
            }
        }
        queue
    }

    fn offer(&mut self, id: StepId) {
        match self.steps.get(&id).map(|step| &step.action) {
            Some(Action::Await { .. }) => self.waits.insert(id),
            Some(_) => self.calls.insert(id),
            None => false,
        };
    }

    fn next_call(&mut self) -> Option<&'a Step> {
        let id = self.calls.pop_first()?;
        self.steps.get(&id).copied()
    }

    fn next_wait(&mut self) -> Option<&'a Step> {
        let id = self.waits.pop_first()?;
        self.steps.get(&id).copied()
    }

    fn succeeded(&mut self, id: StepId) {
        for dependant in self.dependants.remove(&id).unwrap_or_default() {
            let Some(open) = self.open.get_mut(&dependant) else {
                continue;
            };
            *open -= 1;
            if *open == 0 {
                self.offer(dependant);
            }
        }
    }

    /// All that needs the step, directly or not, in the plan's order. None of it will begin.
    fn failed(&mut self, id: StepId) -> BTreeSet<StepId> {
        let mut skipped = BTreeSet::new();
        let mut failed = vec![id];
        while let Some(id) = failed.pop() {
            for dependant in self.dependants.remove(&id).unwrap_or_default() {
                // Gone from `open`: it was skipped before, for another failure.
                if self.open.remove(&dependant).is_some() {
                    skipped.insert(dependant);
                    failed.push(dependant);
                }
            }
        }
        skipped
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::{future::ready, stream, stream::BoxStream};

    use super::*;
    use crate::{
        plan::Subject,
        reconcile::engine::{Change, Done, EngineError},
        workspace::Observed,
    };

    /// An engine whose calls take a few turns, and fail where the name says so.
    #[derive(Default)]
    struct Slow {
        at_once: AtomicUsize,
        most_at_once: AtomicUsize,
    }

    impl Engine for Slow {
        fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
            ready(Ok(Observed::default())).boxed()
        }

        fn perform<'a>(
            &'a self,
            action: &'a Action,
            _progress: &'a (dyn Fn(Progress) + Send + Sync),
        ) -> BoxFuture<'a, Result<Done, EngineError>> {
            async move {
                let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
                self.most_at_once.fetch_max(now, Ordering::SeqCst);
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                self.at_once.fetch_sub(1, Ordering::SeqCst);
                match action.to_string().contains("bad") {
                    true => Err(EngineError::PortTaken { port: 80 }),
                    false => Ok(Done::Done),
                }
            }
            .boxed()
        }

        fn changes(&self) -> BoxStream<'static, Change> {
            stream::pending().boxed()
        }
    }

    /// Waits for as long as it is let.
    struct Forever;

    impl Waiter for Forever {
        fn wait<'a>(
            &'a self,
            _containers: &'a [ContainerName],
            _condition: AfterCondition,
            _patience: Duration,
        ) -> BoxFuture<'a, Result<(), Problem>> {
            std::future::pending().boxed()
        }
    }

    fn start(id: u32, needs: &[u32], container: &str) -> Step {
        step(
            id,
            needs,
            Action::Start {
                container: container.parse().unwrap(),
                hooks: Default::default(),
            },
        )
    }

    fn wait(id: u32, needs: &[u32]) -> Step {
        step(
            id,
            needs,
            Action::Await {
                containers: Vec::new(),
                condition: AfterCondition::Ready,
                patience: Duration::ZERO,
            },
        )
    }

    fn step(id: u32, needs: &[u32], action: Action) -> Step {
        Step {
            id: StepId(id),
            needs: needs.iter().copied().map(StepId).collect(),
            subject: Subject::Orphan("it".to_owned()),
            action,
            reason: "a test".to_owned(),
            loses: None,
        }
    }

    /// What came of the steps, and every event as a word and a number.
    fn execute(
        engine: &Slow,
        steps: Vec<Step>,
        cancel: impl Future<Output = ()> + Send,
    ) -> (Executed, Vec<String>) {
        let told = Mutex::new(Vec::new());
        let events = |event| {
            let text = match event {
                Event::StepStarted { step } => format!("start {step}"),
                Event::StepSucceeded { step, .. } => format!("done {step}"),
                Event::StepFailed { step, problem } => format!("{} {step}", problem.code),
                Event::StepSkipped { step, because } => format!("skip {step} for {because}"),
                other => format!("{other:?}"),
            };
            told.lock().unwrap().push(text);
        };
        let executor = Executor {
            engine,
            waiter: &Forever,
            events: &events,
            width: 2,
        };
        let plan = Plan {
            steps,
            ..Plan::default()
        };
        let executed = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(executor.execute(&plan, cancel));
        (executed, told.into_inner().unwrap())
    }

    #[test]
    fn a_failed_step_skips_only_its_dependents() {
        let steps = vec![
            start(1, &[], "bad"),
            start(2, &[1], "a"),
            start(3, &[2], "b"),
            start(4, &[], "c"),
            start(5, &[4], "d"),
        ];
        let (executed, told) = execute(&Slow::default(), steps, std::future::pending());
        let skipped: Vec<_> = told.iter().filter(|it| it.starts_with("skip")).collect();
        assert_eq!(skipped, ["skip #2 for #1", "skip #3 for #1"]);
        assert_eq!(
            (executed.succeeded, executed.failed, executed.skipped),
            (2, 1, 2)
        );
    }

    #[test]
    fn a_step_behind_two_failures_is_skipped_once() {
        let steps = vec![
            start(1, &[], "bad"),
            start(2, &[], "bad"),
            start(3, &[1, 2], "a"),
        ];
        let (executed, _) = execute(&Slow::default(), steps, std::future::pending());
        assert_eq!((executed.failed, executed.skipped), (2, 1));
    }

    #[test]
    fn no_more_calls_are_made_at_once_than_the_width() {
        let engine = Slow::default();
        let steps = (1..=10).map(|id| start(id, &[], "a")).collect();
        execute(&engine, steps, std::future::pending());
        assert_eq!(engine.most_at_once.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn waits_take_no_place_from_calls() {
        let steps = vec![wait(1, &[]), wait(2, &[]), wait(3, &[]), start(4, &[], "a")];
        let (executed, told) = execute(&Slow::default(), steps, async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        });
        assert!(told.contains(&"done #4".to_owned()), "{told:?}");
        assert!(executed.cancelled);
    }

    #[test]
    fn a_cancel_finishes_what_runs_and_begins_nothing() {
        let steps = vec![start(1, &[], "a"), start(2, &[1], "b"), wait(3, &[])];
        let (executed, told) = execute(&Slow::default(), steps, tokio::task::yield_now());
        assert_eq!(told, ["start #1", "start #3", "done #1"]);
        assert_eq!(
            executed,
            Executed {
                succeeded: 1,
                failed: 0,
                skipped: 2,
                cancelled: true
            }
        );
    }

    #[test]
    fn nothing_begins_after_a_cancel() {
        let steps = vec![start(1, &[], "a"), wait(2, &[])];
        let (_, told) = execute(&Slow::default(), steps, ready(()));
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn an_image_to_build_is_not_the_engines() {
        let image = "api:1".parse().unwrap();
        let steps = vec![
            step(1, &[], Action::BuildImage { image }),
            start(2, &[1], "a"),
        ];
        let (_, told) = execute(&Slow::default(), steps, std::future::pending());
        assert_eq!(told, ["start #1", "build_needed #1", "skip #2 for #1"]);
    }
}
