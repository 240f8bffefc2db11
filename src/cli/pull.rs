//! `cosmos pull`: fetch the images that the config names, also where they are there.

use std::{collections::BTreeSet, process::ExitCode};

use futures_util::{
    StreamExt as _,
    future::ready,
    stream::{self, BoxStream},
};
use hyper::Method;

use super::{
    args::{Global, Progress, Pull as Args},
    bootstrap, context, credentials,
    error::{Failure, Kind},
    orders::{did_you_mean, meant},
    ui::{Screen, outln, say, sayln},
};
use crate::{
    api::{
        client::{Client, ClientError},
        wire::{Event, Problem, PullImage},
    },
    config::{Loaded, nearest},
    workspace::{CommandKind, Image, PullPolicy, RunState},
};

/// Pulls are bound by the network: more only moves the queue into the registry.
const AT_ONCE: usize = 4;

/// How the pull of one image ended.
enum Ended {
    /// It is there.
    Pulled { id: String, changed: bool },
    /// It could not be had.
    Failed(Problem),
}

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let loaded = context::load(&global, &args.project)?;
    let images = chosen(&loaded, &args.names)?;
    let client = bootstrap::client_for(&global, &loaded.workspace).await?;
    credentials::log_in(&client, &images).await?;
    let pulled = pull(&global, &client, &images).await?;
    let all: Vec<_> = images.iter().zip(pulled).collect();
    if args.json {
        show_json(&all);
    } else if !global.quiet && global.progress != Progress::Json {
        show(&all);
    }
    let mut is_failed = false;
    for (_, ended) in all {
        if let Ended::Failed(problem) = ended {
            is_failed = true;
            if !args.json {
                say!("{}", Failure::from(problem));
            }
        }
    }
    if is_failed {
        return Err(Failure::shown(Kind::Failed));
    }
    Ok(ExitCode::SUCCESS)
}

/// The references of what was named, or of all that is not held back, each once.
fn chosen(loaded: &Loaded, names: &[String]) -> Result<Vec<String>, Failure> {
    let images = if names.is_empty() {
        all(loaded)
    } else {
        named(loaded, names)?
    };
    if images.is_empty() {
        return Err(Failure::usage("the config names no image that is pulled")
            .hinted("`cosmos build` builds those that it builds"));
    }
    let mut seen = BTreeSet::new();
    Ok(images
        .into_iter()
        .filter(|image| seen.insert(image.clone()))
        .collect())
}

fn all(loaded: &Loaded) -> Vec<String> {
    let running = loaded.workspace.services.values();
    let running = running.filter(|service| service.run != RunState::Off);
    let services = running.map(|service| &service.container.image);
    let commands = loaded.workspace.commands.values();
    let commands = commands.filter_map(|command| match &command.kind {
        CommandKind::Container(container) => Some(&container.image),
        CommandKind::Exec { .. } => None,
    });
    let images = loaded.images.values().chain(services).chain(commands);
    let pulled = images.filter_map(|image| match image {
        Image::Pulled { policy, .. } if *policy == PullPolicy::Never => None,
        Image::Pulled { reference, .. } => Some(reference.to_string()),
        Image::Built { .. } => None,
    });
    pulled.collect()
}

fn named(loaded: &Loaded, names: &[String]) -> Result<Vec<String>, Failure> {
    let find = |name: &String| match image_of(loaded, name) {
        Some(Image::Pulled { reference, .. }) => Ok(reference.to_string()),
        Some(Image::Built { .. }) => Err(Failure::usage(format!(
            "the image of `{name}` is built here, and not pulled"
        ))
        .hinted("build it on the newest of what it begins with: `cosmos build --pull`")),
        None if all(loaded).contains(name) => Ok(name.clone()),
        None => Err(unknown(loaded, name)),
    };
    names.iter().map(find).collect()
}

fn unknown(loaded: &Loaded, name: &str) -> Failure {
    let failure = Failure::usage(format!(
        "the config has no image, service or command `{name}`"
    ));
    let image = nearest(name, loaded.images.keys().map(String::as_str));
    match image.or_else(|| meant(name, loaded)) {
        Some(meant) => failure.hinted(did_you_mean(meant)),
        None => failure.hinted("`cosmos config` shows what it has"),
    }
}

/// An image by its own name, or that of a service or command.
fn image_of<'a>(loaded: &'a Loaded, name: &str) -> Option<&'a Image> {
    let workspace = &loaded.workspace;
    if let Some(image) = loaded.images.get(name) {
        return Some(image);
    }
    if let Some(service) = workspace.services.get(name) {
        return Some(&service.container.image);
    }
    match &workspace.commands.get(name)?.kind {
        CommandKind::Container(container) => Some(&container.image),
        CommandKind::Exec { .. } => None,
    }
}

/// Pulls them, a few at once; how each ended, in their order. One that fails
/// keeps no other back.
async fn pull(global: &Global, client: &Client, images: &[String]) -> Result<Vec<Ended>, Failure> {
    let mut screen = Screen::new(global);
    let mut ended: Vec<Option<Ended>> = images.iter().map(|_| None).collect();
    let streams = images.iter().cloned().enumerate();
    let mut events = stream::iter(streams)
        .map(|(at, image)| events_of(client.clone(), image).map(move |event| (at, event)))
        .flatten_unordered(AT_ONCE);
    while let Some((at, event)) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(ClientError::Refused { problem, .. }) => Event::Failed { problem },
            Err(error) => {
                screen.clear();
                return Err(error.into());
            }
        };
        screen.show(&event);
        let over = match event {
            Event::ImagePulled { id, changed, .. } => Ended::Pulled { id, changed },
            Event::Failed { problem } => Ended::Failed(problem),
            _ => continue,
        };
        if let Some(ended) = ended.get_mut(at) {
            *ended = Some(over);
        }
    }
    screen.clear();
    let told: Option<Vec<_>> = ended.into_iter().collect();
    told.ok_or_else(|| {
        Failure::new("the proxy went away before everything was pulled").hinted("run it again")
    })
}

fn events_of(client: Client, image: String) -> BoxStream<'static, Result<Event, ClientError>> {
    let opened = async move {
        let order = PullImage { image };
        let events = client.events(Method::POST, "/images/pull", Some(&order));
        match events.await {
            Ok(events) => events.boxed(),
            Err(error) => stream::once(ready(Err(error))).boxed(),
        }
    };
    stream::once(opened).flatten().boxed()
}

fn show(all: &[(&String, Ended)]) {
    let mut is_any_new = false;
    for (image, ended) in all {
        match ended {
            Ended::Pulled { id, changed: true } => {
                is_any_new = true;
                outln!("pulled {image} ({})", short(id));
            }
            Ended::Pulled { .. } => outln!("up to date: {image}"),
            Ended::Failed(_) => {}
        }
    }
    if is_any_new {
        sayln!("`cosmos up` replaces what runs from older ones");
    }
}

fn show_json(all: &[(&String, Ended)]) {
    let images: Vec<_> = all
        .iter()
        .map(|(image, ended)| match ended {
            Ended::Pulled { id, changed } => {
                let status = if *changed { "pulled" } else { "up_to_date" };
                serde_json::json!({ "image": image, "status": status, "id": id })
            }
            Ended::Failed(problem) => {
                serde_json::json!({ "image": image, "status": "failed", "problem": problem })
            }
        })
        .collect();
    outln!("{}", serde_json::json!({ "schema": 1, "images": images }));
}

/// As engines shorten an id.
fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}
