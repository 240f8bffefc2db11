//! How a build looks: a line for each step, and what it says under it.

use std::{collections::HashMap, time::Duration};

use super::{duration, printable};
use crate::api::wire::{BuildState, BuildStep, Progress};

/// The builds that are shown.
#[derive(Default)]
pub(super) struct Builds {
    known: HashMap<String, Known>,
}

#[derive(Default)]
struct Known {
    /// What the image is called, where its tag would say too much.
    name: Option<String>,
    /// There is one stage: its name says nothing.
    is_single: bool,
    /// Where each step is.
    places: HashMap<u32, String>,
}

impl Builds {
    /// Says how a tag's image is called, and how many stages its Dockerfile has.
    pub(super) fn name(&mut self, tag: &str, name: &str, stages: usize) {
        let known = self.known.entry(tag.to_owned()).or_default();
        known.name = Some(name.to_owned());
        known.is_single = stages < 2;
    }

    /// A step in a line: `api [2/5] RUN make`.
    pub(super) fn title(&self, tag: &str, step: &BuildStep) -> String {
        let known = self.known.get(tag);
        let what = known.and_then(|known| known.name.as_deref()).unwrap_or(tag);
        let place = place(step, known.is_some_and(|known| known.is_single));
        plain(&format!("{what} {place} {}", step.name).replace("  ", " "))
    }

    /// What happened, as a line of its own; none if it is not worth one.
    pub(super) fn line(&mut self, tag: &str, progress: &Progress) -> Option<String> {
        match progress {
            Progress::Build { step, state } => {
                let title = self.title(tag, step);
                let known = self.known.entry(tag.to_owned()).or_default();
                let place = place(step, known.is_single);
                let what = known.name.as_deref().unwrap_or(tag);
                // What is not of the Dockerfile is only worth a line while it lasts.
                let is_own = step.place.is_some();
                let was_begun = known.places.insert(step.id, place.clone()).is_some();
                match state {
                    BuildState::Running => is_own.then_some(title),
                    BuildState::Cached if was_begun => {
                        is_own.then(|| format!("{what} {place} cached"))
                    }
                    BuildState::Cached => is_own.then(|| format!("{title} (cached)")),
                    BuildState::Done { millis } => is_own.then(|| {
                        let took = duration(Duration::from_millis(*millis));
                        if was_begun {
                            format!("{what} {place} done ({took})")
                        } else {
                            format!("{title} ({took})")
                        }
                    }),
                    BuildState::Failed { .. } => Some(format!("{what} {place} failed")),
                }
            }
            Progress::Line { text, step } => {
                let known = self.known.get(tag);
                let what = known.and_then(|known| known.name.as_deref()).unwrap_or(tag);
                let place = known
                    .zip(*step)
                    .and_then(|(known, id)| known.places.get(&id))
                    .filter(|place| !place.is_empty());
                let text = plain(text);
                Some(match place {
                    Some(place) => format!("{what} {place} | {text}"),
                    None => format!("{what} | {text}"),
                })
            }
            Progress::Layer { .. } => None,
        }
    }
}

fn place(step: &BuildStep, is_single: bool) -> String {
    let Some(mut place) = step.place.clone() else {
        return String::new();
    };
    if is_single {
        place.stage = None;
    }
    place.to_string()
}

/// A line of somebody's output, without its colours.
pub(super) fn plain(text: &str) -> String {
    let text = anstream::adapter::strip_str(text.trim_end()).to_string();
    printable(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::StepPlace;

    fn step(id: u32, stage: Option<&str>, name: &str) -> BuildStep {
        BuildStep {
            id,
            place: Some(StepPlace {
                stage: stage.map(str::to_owned),
                number: id + 1,
                of: 3,
            }),
            name: name.to_owned(),
        }
    }

    fn lines(builds: &mut Builds, told: &[Progress]) -> Vec<String> {
        told.iter()
            .filter_map(|progress| builds.line("shop-api:0123", progress))
            .collect()
    }

    fn told(step: &BuildStep, state: BuildState) -> Progress {
        Progress::Build {
            step: step.clone(),
            state,
        }
    }

    fn said(step: Option<u32>, text: &str) -> Progress {
        Progress::Line {
            text: text.to_owned(),
            step,
        }
    }

    #[test]
    fn a_build_is_a_line_for_each_thing_that_happened() {
        let mut builds = Builds::default();
        builds.name("shop-api:0123", "api", 1);
        let (from, copy) = (
            step(0, Some("stage-0"), "FROM x"),
            step(1, None, "COPY . ."),
        );
        let run = step(2, None, "RUN make");
        let cause = "no".to_owned();
        assert_eq!(
            lines(
                &mut builds,
                &[
                    told(&from, BuildState::Done { millis: 12 }),
                    told(&copy, BuildState::Running),
                    told(&copy, BuildState::Done { millis: 1200 }),
                    told(&run, BuildState::Running),
                    said(Some(2), "\u{1b}[31mred\u{1b}[0m \u{7}"),
                    said(None, "loose"),
                    told(&run, BuildState::Failed { cause }),
                ]
            ),
            [
                "api [1/3] FROM x (12 ms)",
                "api [2/3] COPY . .",
                "api [2/3] done (1.2 s)",
                "api [3/3] RUN make",
                "api [3/3] | red ",
                "api | loose",
                "api [3/3] failed",
            ]
        );
    }

    #[test]
    fn what_is_cached_is_told_so_whether_or_not_it_began() {
        let mut builds = Builds::default();
        let (copy, run) = (step(0, None, "COPY . ."), step(1, None, "RUN make"));
        assert_eq!(
            lines(
                &mut builds,
                &[
                    told(&copy, BuildState::Cached),
                    told(&run, BuildState::Running),
                    told(&run, BuildState::Cached),
                ]
            ),
            [
                "shop-api:0123 [1/3] COPY . . (cached)",
                "shop-api:0123 [2/3] RUN make",
                "shop-api:0123 [2/3] cached",
            ]
        );
    }

    #[test]
    fn where_there_are_stages_they_are_named() {
        let mut builds = Builds::default();
        builds.name("shop-api:0123", "api", 2);
        let run = step(1, Some("dev"), "RUN make");
        assert_eq!(
            lines(
                &mut builds,
                &[told(&run, BuildState::Running), said(Some(1), "text")]
            ),
            ["api [dev 2/3] RUN make", "api [dev 2/3] | text"]
        );
    }

    #[test]
    fn an_image_that_nobody_named_is_its_tag() {
        let mut builds = Builds::default();
        let run = step(1, None, "RUN make");
        assert_eq!(
            lines(&mut builds, &[told(&run, BuildState::Running)]),
            ["shop-api:0123 [2/3] RUN make"]
        );
    }
}
