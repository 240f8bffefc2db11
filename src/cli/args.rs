//! What can be typed: parsing only. Each verb's file gives it its meaning.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::terminal::DetachKeys;

/// Declares containers in cosmos.toml and keeps them so.
#[derive(Debug, Parser)]
#[command(
    name = "cosmos",
    version,
    about = "Declare containers in cosmos.toml, and keep them so",
    after_help = "Examples:\n  cosmos up                        make the workspace in this folder true\n  cosmos start ubuntu:latest       a shell in any image\n  cosmos status                    how everything is\n  cosmos stop web                  stop a service, and hold it stopped",
    disable_help_subcommand = true,
    subcommand_value_name = "VERB",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// Above the options of [`Global`], so that a verb's own come first.
const EVERYWHERE: &str = "Options of every verb";

/// What every verb understands.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Global {
    /// Say nothing but the command's own output
    #[arg(short, long, global = true, help_heading = EVERYWHERE)]
    pub(super) quiet: bool,
    /// How progress is shown: in place on a terminal and plain lines elsewhere
    /// (auto), always lines (plain), objects on stdout (json), not at all (none)
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true,
        value_name = "FORM",
        help_heading = EVERYWHERE
    )]
    pub(super) progress: Progress,
    /// Which of several checkouts of one workspace this is
    #[arg(
        long,
        global = true,
        env = "COSMOS_INSTANCE",
        value_name = "NAME",
        help_heading = EVERYWHERE
    )]
    pub(super) instance: Option<String>,
    /// The config; else cosmos.toml is searched upwards from the current folder
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Progress {
    /// In place on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// A line for each thing that happened
    Plain,
    /// A JSON object for each thing that happened, on stdout
    Json,
    /// None
    None,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make the workspace in this folder true
    Up(Up),
    /// Stop and remove what `up` made
    Down(Down),
    /// Do what `up` does, and again whenever a file is saved that it is about
    Watch(Watch),
    /// Show what `up` would do, and why
    Plan(Plan),
    /// Show how everything is
    #[command(visible_alias = "ps")]
    Status(Status),
    /// Show what containers use, as long as you look
    Top(Top),
    /// Show what containers say
    Logs(Logs),
    /// Show the requests that pass the proxy, and send them again
    Http(Http),
    /// Open the inspector in a browser
    Dashboard(Dashboard),
    /// Show where the ports of a container are on this host
    Port(Port),
    /// Open a service in a browser, through the proxy
    Open(Open),
    /// Run a command in a running container
    Exec(Exec),
    /// Copy files between here and a container
    Cp(Cp),
    /// Run a command that the config declares
    Run(Run),
    /// Start a container of any image, or a service of this workspace
    Start(Start),
    /// Stop a container, or stop a service and hold it stopped
    Stop(Stop),
    /// Stop a container or service and start it again
    #[command(
        after_help = "Examples:\n  cosmos restart web api     services of this workspace\n  cosmos restart nginx-k3f9  a container by name"
    )]
    Restart(OrderArgs),
    /// Let there be more or fewer replicas of a service
    Scale(Scale),
    /// Wait until services are ready, or otherwise as they should be
    Wait(Wait),
    /// Let a service follow the config again
    #[command(
        after_help = "Examples:\n  cosmos release web         what `cosmos stop web` held starts again; what `cosmos scale web=3` said is forgotten"
    )]
    Release(OrderArgs),
    /// Show what was done to this workspace, when and why
    #[command(
        after_help = "Examples:\n  cosmos history             the newest entries, and the revisions\n  cosmos history 12          all steps of one entry, and what it waited for\n  cosmos history --json -n 5"
    )]
    History(History),
    /// Say what made a service what it is now
    #[command(
        after_help = "Examples:\n  cosmos why web             every cause since its containers were made\n  cosmos why                 what the last start had to wait for"
    )]
    Why(Why),
    /// Make this workspace what it was at an earlier revision
    #[command(
        visible_alias = "undo",
        after_help = "Examples:\n  cosmos undo                back to the last revision that came up before this one\n  cosmos rollback 3          back to revision 3\n\nImages are those of that time, though a tag moved; secrets are those of today. cosmos.toml is not touched: the next `cosmos up` applies it again."
    )]
    Rollback(Rollback),
    /// Build the images that the config builds
    Build(Build),
    /// Write a cosmos.toml to begin with
    Init(Init),
    /// Write a container into cosmos.toml, as a service
    Adopt(Adopt),
    /// Fetch the images that the config names
    Pull(Pull),
    /// Check the config, without an engine
    #[command(after_help = "Examples:\n  cosmos check\n  cosmos check -f other.toml")]
    Check(Check),
    /// Look for what is wrong with this machine, and say what mends it
    Doctor(Doctor),
    /// Print the resolved workspace
    #[command(
        after_help = "Examples:\n  cosmos config\n  cosmos config --profile dev\n  cosmos config --explain services.web.replicas    who said so, and where"
    )]
    Config(Config),
    /// Remove containers that are in no config
    Rm(Rm),
    /// Remove ended ad-hoc containers, or all that Cosmos made but its volumes
    Prune(Prune),
    /// Look after the proxy container
    Proxy(ProxyArgs),
    /// Copy all that the proxy remembers, or bring a copy back
    State(StateArgs),
    /// Print what a shell needs to complete `cosmos` commands
    Completions(Completions),
    /// Show the manual page of Cosmos, or of a verb
    Man(Man),
    /// Show how to use a verb, or what there is about a topic
    Help(Help),
    /// Serve as the proxy (inside its container)
    #[command(hide = true)]
    Serve,
    /// What can be put in at the end of a line, for the functions of `completions`
    #[command(name = "__complete", hide = true)]
    Complete(Complete),
}

/// Which workspace.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Project {
    /// The config; else cosmos.toml is searched upwards from the current folder
    #[arg(short = 'f', long = "file", id = "verb_file", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Switch on a profile (can be given more than once)
    #[arg(long = "profile", value_name = "P")]
    pub(super) profiles: Vec<String>,
    /// Set a key of the config over what files and variables say: `services.web.replicas=3`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

/// Which one-shots run again though nothing changed.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Rerun {
    /// Run one-shots again though nothing changed: all that `up` runs, or only these
    // With `=` only: a word behind it is a service.
    #[arg(
        long = "rerun",
        value_name = "COMMAND",
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = EVERY
    )]
    pub(super) commands: Vec<String>,
}

/// `--rerun` alone: no command is called that.
pub(super) const EVERY: &str = "*";

/// Whether the config may do what reaches the host.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Trust {
    /// Trust the config with what reaches the host, and remember it: it is asked for otherwise
    #[arg(long = "trust")]
    pub(super) given: bool,
}

/// How a process is left running that has our terminal.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Leaving {
    /// The keys that leave it running: like `ctrl-a,d`; or `none` [default: ctrl-p,ctrl-q]
    #[arg(
        long,
        env = "COSMOS_DETACH_KEYS",
        hide_env_values = true,
        value_name = "KEYS"
    )]
    pub(super) detach_keys: Option<DetachKeys>,
}

impl Leaving {
    /// The keys that leave a process running.
    pub(super) fn keys(&self) -> DetachKeys {
        self.detach_keys.clone().unwrap_or_default()
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos up\n  cosmos up web            only web, and what it depends on\n  cosmos up --no-wait      do not wait until everything is ready\n  cosmos up --rerun=migrate    and run `migrate` again, though nothing changed\n  cosmos up --watch        and again whenever a file is saved"
)]
pub(super) struct Up {
    /// Only these services, and what they depend on
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    #[command(flatten)]
    pub(super) project: Project,
    /// Return once everything is started, without waiting for ready
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Build images again, even where they are there
    #[arg(long)]
    pub(super) build: bool,
    /// Forget every override first
    #[arg(long)]
    pub(super) release: bool,
    #[command(flatten)]
    pub(super) rerun: Rerun,
    /// Carry out only the plan with this digest
    #[arg(long, value_name = "DIGEST")]
    pub(super) expect: Option<String>,
    /// Stay, and do it again whenever a file is saved that it is about: as `cosmos watch`
    #[arg(long)]
    pub(super) watch: bool,
    #[command(flatten)]
    pub(super) polling: Polling,
    #[command(flatten)]
    pub(super) trust: Trust,
    /// Do not ask before something is lost that nothing brings back
    #[arg(short, long)]
    pub(super) yes: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos doctor                    engine, proxy, port, names, disk, clock, addresses, config\n  cosmos doctor --json             the same for a program\n  cosmos doctor --bundle           and all that a bug report needs, without secrets, in one file\n\nChanges nothing, and needs neither proxy nor engine. Exits with 1 if something failed."
)]
pub(super) struct Doctor {
    #[command(flatten)]
    pub(super) project: Project,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Write what a bug report needs, without secrets, into a new file that only you read
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        default_missing_value = "cosmos-doctor.tar.gz"
    )]
    pub(super) bundle: Option<PathBuf>,
}

/// How changes of files are found.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Polling {
    /// With `watch`: look for changes every so often (500ms unless said otherwise), where the
    /// kernel does not tell of them: `--poll`, `--poll=2s`
    #[arg(
        long = "poll",
        value_name = "INTERVAL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    pub(super) interval: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos watch\n  cosmos watch web         only web, and what it depends on\n  cosmos watch --poll=2s   where the kernel does not tell of changes: some network drives"
)]
pub(super) struct Watch {
    /// Only these services, and what they depend on
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    #[command(flatten)]
    pub(super) project: Project,
    #[command(flatten)]
    pub(super) polling: Polling,
    #[command(flatten)]
    pub(super) trust: Trust,
}

#[derive(Debug, Args)]
pub(super) struct History {
    #[command(flatten)]
    pub(super) project: Project,
    /// One entry, with all of its steps
    #[arg(value_name = "ENTRY")]
    pub(super) number: Option<u64>,
    /// How many entries, newest first
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    pub(super) limit: usize,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Why {
    #[command(flatten)]
    pub(super) project: Project,
    /// A service; without one, what the last start had to wait for
    #[arg(value_name = "SERVICE")]
    pub(super) service: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Rollback {
    #[command(flatten)]
    pub(super) project: Project,
    /// The revision; the last good one before the present one if none is named
    #[arg(value_name = "REVISION")]
    pub(super) revision: Option<u64>,
    /// Finish as soon as everything is started, without waiting for ready
    #[arg(long)]
    pub(super) no_wait: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos down\n  cosmos down --volumes    and the volumes, after asking"
)]
pub(super) struct Down {
    #[command(flatten)]
    pub(super) project: Project,
    /// Remove the workspace's volumes, too
    #[arg(long)]
    pub(super) volumes: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos plan\n  cosmos plan --exit-code    exit with 3 if something would change"
)]
pub(super) struct Plan {
    #[command(flatten)]
    pub(super) project: Project,
    #[command(flatten)]
    pub(super) rerun: Rerun,
    /// Exit with 3 if something would change
    #[arg(long)]
    pub(super) exit_code: bool,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos status\n  cosmos status --all      every workspace and every ad-hoc container\n  cosmos status --watch    as it comes to be, until `q`\n  cosmos status --json"
)]
pub(super) struct Status {
    #[command(flatten)]
    pub(super) project: Project,
    /// Every workspace, and every ad-hoc container
    #[arg(short, long)]
    pub(super) all: bool,
    /// Stay, and show it again whenever something changes: `q` or Ctrl-C ends it
    #[arg(short, long)]
    pub(super) watch: bool,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos top                 the services of this workspace; `q` or Ctrl-C ends it\n  cosmos top web nginx-k3f9\n  cosmos top --all           every workspace, and every ad-hoc container\n  cosmos top --once          a table, and no more: the same off a terminal\n  cosmos top --json          an object for each look, one a second\n\nCPU is in percent of one core; memory is without what the kernel keeps of files and could give up."
)]
pub(super) struct Top {
    /// Services, or containers by id or name; all services of this workspace if none is named
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// Every workspace, and every ad-hoc container
    #[arg(short, long, conflicts_with = "names")]
    pub(super) all: bool,
    /// Look once
    #[arg(long)]
    pub(super) once: bool,
    /// As JSON: an object for each look
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos logs              all services of this workspace\n  cosmos logs -f web api\n  cosmos logs --tail 20 nginx-k3f9\n  cosmos logs --since 10m --grep 'error|timeout' api\n  cosmos logs --http -f web   each request to `web`, with its status and how long it took"
)]
pub(super) struct Logs {
    /// Services, or containers by id or name; all services if none is named
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// Go on as more is written, by whatever takes a container's place, too
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only so many lines of each container, from the end
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(super) tail: Option<u64>,
    /// Not before: `10m`, `2h`, `2026-11-23T23:08:17Z`, or seconds since the epoch
    #[arg(long, value_name = "WHEN")]
    pub(super) since: Option<String>,
    /// Not after
    #[arg(long, value_name = "WHEN", conflicts_with = "follow")]
    pub(super) until: Option<String>,
    /// Only lines in which this regular expression is found: `error`, `(?i)error`
    #[arg(long, value_name = "PATTERN", conflicts_with = "http")]
    pub(super) grep: Option<String>,
    /// Each line behind its time
    #[arg(short, long)]
    pub(super) timestamps: bool,
    /// The requests that passed the proxy instead, from its access log
    #[arg(long, conflicts_with = "timestamps")]
    pub(super) http: bool,
    /// Each line as an object: time, container, service, stream, line. With `--http`, as the
    /// proxy wrote it
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cosmos http                                 the newest, oldest first\n  cosmos http -f service:api status:>=500     as they pass\n  cosmos http 'path:/v1 method:POST slower:200ms timeout'\n  cosmos http show 12                         all of one: headers and bodies\n  cosmos http replay 12 -d '{\"a\":2}'          once more, with another body\n  cosmos http har service:api > api.har\n\nWhat a FILTER can say: service: workspace: host: container: method: path: type: status:500 status:5xx status:>=500 status:400-499 slower:200ms faster:1s is:open is:error is:websocket is:sse is:replay number:12, `-` before a term for its opposite, and any other word for text in path, headers and bodies."
)]
pub(super) struct Http {
    #[command(subcommand)]
    pub(super) verb: Option<HttpVerb>,
    #[command(flatten)]
    pub(super) list: HttpList,
}

#[derive(Debug, Subcommand)]
pub(super) enum HttpVerb {
    /// List them: the same as no verb
    List(HttpList),
    /// Show all that is kept of one
    Show {
        /// Its number in the list
        number: u64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Send one again, as it was or edited
    Replay(HttpReplay),
    /// Print one as a command for curl
    Curl {
        /// Its number in the list
        number: u64,
    },
    /// Write them as an HTTP Archive (HAR 1.2), which browsers load
    Har {
        /// What they have to be
        #[arg(value_name = "FILTER", allow_hyphen_values = true)]
        filter: Vec<String>,
    },
    /// Forget all that are over
    Clear,
}

#[derive(Debug, Clone, Args)]
pub(super) struct HttpList {
    /// What they have to be: `service:api status:>=500`
    #[arg(value_name = "FILTER", allow_hyphen_values = true)]
    pub(super) filter: Vec<String>,
    /// Go on as more pass
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only so many of the newest
    #[arg(short = 'n', long, default_value_t = 50, value_name = "COUNT")]
    pub(super) limit: usize,
    /// As JSON: one object, or with `-f` a line for each change
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct HttpReplay {
    /// Its number in the list
    pub(super) number: u64,
    /// Another method
    #[arg(short = 'X', long)]
    pub(super) method: Option<String>,
    /// Another path, with its query
    #[arg(long)]
    pub(super) path: Option<String>,
    /// Set a header, or leave it out where no value is behind the colon
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    pub(super) header: Vec<String>,
    /// Another body: text, `@file`, or `@-` for what is piped in
    #[arg(short = 'd', long = "data", value_name = "BODY")]
    pub(super) body: Option<String>,
    /// What came of it, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos dashboard           open it, signed in\n  cosmos dashboard --print   print its address, for another browser"
)]
pub(super) struct Dashboard {
    /// Print the address instead of opening it
    #[arg(long)]
    pub(super) print: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos port web            each port of it, and its URL\n  cosmos port db 5432        only the address: `psql -h localhost -p \"$(cosmos port db 5432 | cut -d: -f2)\"`\n  cosmos port dns 53/udp\n  cosmos port nginx-k3f9     a container by name"
)]
pub(super) struct Port {
    /// A service, or a container by id or name
    #[arg(value_name = "SERVICE")]
    pub(super) name: String,
    /// Only where this port of the container is: `80`, `53/udp`
    #[arg(value_name = "PORT[/udp]")]
    pub(super) port: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos open web\n  cosmos open web /admin      a page of it\n  cosmos open web --print     print its address, for another browser\n  cosmos open nginx-k3f9      a container by name\n\nWhere there is no screen, the address is printed."
)]
pub(super) struct Open {
    /// A service, or a container by id or name
    #[arg(value_name = "SERVICE")]
    pub(super) name: String,
    /// A path, with its query: `/admin?tab=2`
    #[arg(value_name = "PATH")]
    pub(super) path: Option<String>,
    /// Print the address instead of opening it
    #[arg(long)]
    pub(super) print: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos exec web sh\n  cosmos exec web.2 sh                         its second replica\n  cosmos exec -T db pg_dump shop > shop.sql"
)]
pub(super) struct Exec {
    /// Which replica of a service; else its first that runs. `web.2` says the same
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) replica: Option<u32>,
    /// No terminal, even if there is one
    #[arg(short = 'T', long)]
    pub(super) no_tty: bool,
    /// Run as this user
    #[arg(short, long)]
    pub(super) user: Option<String>,
    /// Run in this folder
    #[arg(short, long)]
    pub(super) workdir: Option<String>,
    /// Set an environment variable
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(super) env: Vec<String>,
    #[command(flatten)]
    pub(super) leaving: Leaving,
    /// A service, or a container by id or name; then the command
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true, value_name = "NAME COMMAND")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos cp web:/etc/nginx/nginx.conf .      a file, to this folder\n  cosmos cp ./dist api:/srv                  a folder: /srv/dist\n  cosmos cp ./dist/. api:/srv                what is in it: /srv/..\n  cosmos cp web.2:/var/log/nginx logs        of the second replica\n  cosmos cp api:/srv - | tar -tv             as a tar\n  tar -c site | cosmos cp - web:/srv         unpacks a tar in a folder that is there\n\nAs `docker cp` does it:\n  - What stands before the first `:` is a container, unless it begins with `.`, `/` or `~`. A path in it\n    begins at its root. Of a service it is the first container that runs; a stopped one will do, too.\n  - A target that is a folder gets the source into it, under its own name; one that is not there is what\n    the source becomes. The folder above has to be there. With `/` at its end, a target must be a folder.\n  - A source with `/.` at its end is what is in the folder. With `/` at its end, a link is followed; else a\n    link is copied as a link, and links below are always.\n  - A file replaces a file; a folder is merged with a folder; neither replaces the other.\nModes and times are kept. In a container, files belong to root, or to its user where that is a number;\nhere, to you, and without set-user bits. Nothing that comes out of a container is written through a link,\nor outside of the target. Interrupted, nothing half done stays here, and no half file there; of a folder\nthat goes in, what had arrived does."
)]
pub(super) struct Cp {
    /// Which replica of a service; else its first that runs. `web.2:` says the same
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) replica: Option<u32>,
    /// What is copied: a path here, one of a container like `web:/srv`, or `-` for a tar on
    /// the input
    #[arg(value_name = "SOURCE")]
    pub(super) source: String,
    /// Where to: the same, or `-` for a tar on the output
    #[arg(value_name = "TARGET")]
    pub(super) target: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cosmos run test\n  cosmos run migrate -- --dry-run")]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) trust: Trust,
    #[command(flatten)]
    pub(super) leaving: Leaving,
    /// The command's name in the config; then further arguments
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND ARGS")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos start ubuntu:latest                          a shell\n  cosmos start ubuntu:latest echo hello               one command\n  cosmos start -d nginx:alpine nginx -g 'daemon off;' a server, at http://<name>.localhost:8080\n  cosmos start web                                    a service of this workspace"
)]
pub(super) struct Start {
    /// Return as soon as it runs
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Remove the container when it ends
    #[arg(long)]
    pub(super) rm: bool,
    /// The container's name
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Set an environment variable; `KEY` alone takes this shell's value
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(super) env: Vec<String>,
    /// Mount a folder or volume: `./src:/src`, `data:/var/lib/data:ro`
    #[arg(short, long, value_name = "SOURCE:TARGET")]
    pub(super) volume: Vec<String>,
    /// Publish a port: `8000:80`, `127.0.0.1:8000:80/udp`, or `80` for any free one
    #[arg(short, long, value_name = "HOST:CONTAINER")]
    pub(super) publish: Vec<String>,
    /// Run in this folder
    #[arg(short, long)]
    pub(super) workdir: Option<String>,
    /// Run as this user
    #[arg(short, long)]
    pub(super) user: Option<String>,
    /// Of a service: what for, which `cosmos status` shows where it is held started
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) leaving: Leaving,
    /// An image and its command, or a service of this workspace
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true, value_name = "IMAGE COMMAND")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos stop web            a service of this workspace, until `cosmos start web`\n  cosmos stop web --for 2h   no longer than two hours\n  cosmos stop web --reason 'debugging the api'    shown by `cosmos status`\n  cosmos stop nginx-k3f9     a container by name\n  cosmos stop 3f2a9c         a container by the beginning of its id"
)]
pub(super) struct Stop {
    /// Services, or containers by id, by the beginning of one, or by name
    #[arg(required = true, value_name = "ID")]
    pub(super) ids: Vec<String>,
    /// Hold a service stopped for so long only: `90s`, `2h`, `1h30m`
    #[arg(long = "for", value_name = "TIME")]
    pub(super) lasting: Option<String>,
    /// What for: `cosmos status` shows it
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos scale web=3\n  cosmos scale web=3 api=2 --reason 'load test'\n  cosmos release web         as many as the config says again"
)]
pub(super) struct Scale {
    /// A service, and how many replicas of it there are to be
    #[arg(required = true, value_name = "SERVICE=COUNT")]
    pub(super) counts: Vec<String>,
    /// What for: `cosmos status` shows it
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos wait web api                  until both are ready\n  cosmos wait db --for started --timeout 5s\n  cosmos wait migrate                  until this one-shot of `up` is completed\n  cosmos wait web --json\n\nExits with 1 as soon as it cannot be, or when the time is over, and says why."
)]
pub(super) struct Wait {
    /// Services, or commands that `up` runs
    #[arg(required = true, value_name = "SERVICE")]
    pub(super) names: Vec<String>,
    /// What for: a service is else waited for to be ready, and a command to be completed
    #[arg(long = "for", value_enum, value_name = "STATE")]
    pub(super) condition: Option<WaitFor>,
    /// How long, in all: `90s`, `5m`
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(super) timeout: String,
    /// What is so, for a program
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) project: Project,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WaitFor {
    /// Every replica is ready, as `health` says
    Ready,
    /// Every replica runs
    Started,
    /// It ran to its end with exit code 0
    Completed,
    /// Nothing of it runs
    Stopped,
}

#[derive(Debug, Args)]
pub(super) struct OrderArgs {
    /// Services, or containers by id, by the beginning of one, or by name
    #[arg(required = true, value_name = "ID")]
    pub(super) ids: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos build\n  cosmos build api         only the image `api`\n  cosmos build --no-cache --pull"
)]
pub(super) struct Build {
    /// Only these images
    #[arg(value_name = "IMAGE")]
    pub(super) images: Vec<String>,
    #[command(flatten)]
    pub(super) project: Project,
    #[command(flatten)]
    pub(super) trust: Trust,
    /// Do every step again, whatever an earlier build left
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Fetch the images that they begin with again, even where they are there
    #[arg(long)]
    pub(super) pull: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos rm nginx-k3f9           one that has ended\n  cosmos rm --force nginx-k3f9   one that runs, too\n  cosmos rm 3f2a9c 77c0          by the beginnings of their ids\n\nA service is never removed so: take it out of cosmos.toml, or hold it stopped with `cosmos stop`. Volumes with a name stay."
)]
pub(super) struct Rm {
    /// Containers by id, by the beginning of one, or by name
    #[arg(required = true, value_name = "ID")]
    pub(super) ids: Vec<String>,
    /// Stop what runs, too, without asking
    #[arg(short, long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos prune             ad-hoc containers that have ended\n  cosmos prune --all       every workspace, every container, the proxy and its network"
)]
pub(super) struct Prune {
    /// Everything but volumes: workspaces, ad-hoc containers, the proxy and its network
    #[arg(short, long)]
    pub(super) all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos init\n  cosmos init --name shop\n  cosmos init --from compose.yaml    convert a Compose file, and list what cannot be\n  cosmos init --from --print         only show it"
)]
pub(super) struct Init {
    /// Convert this Compose file; without FILE, the one in this folder
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = FIND)]
    pub(super) from: Option<OsString>,
    /// The workspace's name; else it is the folder's
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Where to write it, instead of cosmos.toml; `-` is the output
    #[arg(short = 'f', long = "file", id = "init_file", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Only show it
    #[arg(long)]
    pub(super) print: bool,
    /// Say what was done as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos adopt nginx-k3f9                a container that `cosmos start` made\n  cosmos adopt nginx-k3f9 --name web     as the service `web`\n  cosmos adopt 3f2a9c --print            only show it; `| patch` takes it\n\nAny container of the engine will do. What its image says by itself is not written, nor is the value of a variable that looks like a secret: it becomes ${VARIABLE}, to be set in .env. What there are no words for is listed. The file keeps its comments, its order and its line ends; the container goes on as it is."
)]
pub(super) struct Adopt {
    /// A container by id, by the beginning of one, or by name
    #[arg(value_name = "ID")]
    pub(super) id: String,
    /// What the service is called; else it is as the container
    #[arg(long, value_name = "SERVICE")]
    pub(super) name: Option<String>,
    /// Write nothing, only show it
    #[arg(long)]
    pub(super) print: bool,
}

/// `--from` alone: no file is called that.
pub(super) const FIND: &str = "/";

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos pull\n  cosmos pull db            only the image of `db`\n  cosmos pull && cosmos up  and replace what runs from older ones"
)]
pub(super) struct Pull {
    /// Only these images, or those of these services and commands
    #[arg(value_name = "IMAGE|SERVICE")]
    pub(super) names: Vec<String>,
    #[command(flatten)]
    pub(super) project: Project,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) project: Project,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(flatten)]
    pub(super) project: Project,
    /// Say which layer, file and line a key's value is from, and what it overrides
    #[arg(long, value_name = "KEY")]
    pub(super) explain: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos proxy status\n  cosmos proxy logs -f     what passes, as it passes\n  cosmos proxy upgrade     after an upgrade of `cosmos`\n  cosmos proxy rotate-token"
)]
pub(super) struct ProxyArgs {
    #[command(subcommand)]
    pub(super) verb: ProxyVerb,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos state backup shop.db        workspaces, orders, history; no secrets\n  cosmos state backup - | gzip > shop.db.gz\n  cosmos state restore shop.db"
)]
pub(super) struct StateArgs {
    #[command(subcommand)]
    pub(super) verb: StateVerb,
}

#[derive(Debug, Subcommand)]
pub(super) enum StateVerb {
    /// Write a copy, while everything goes on
    Backup {
        /// Where to; `-` is the output
        #[arg(default_value = "-", value_name = "FILE")]
        file: PathBuf,
    },
    /// Put a copy in the place of what is remembered now, which is kept beside it
    Restore {
        /// What `cosmos state backup` wrote
        file: PathBuf,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ProxyVerb {
    /// Show the proxy's version, address and image
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what the proxy logs
    Logs {
        /// Go on as more is written
        #[arg(short, long)]
        follow: bool,
        /// Only so many lines from the end
        #[arg(long, value_name = "LINES")]
        tail: Option<u64>,
    },
    /// Replace the proxy by one of this version; the state stays
    Upgrade,
    /// Remove the proxy; the state stays, and so does what runs
    Rm,
    /// Replace the token that opens the proxy, as after somebody may have seen it
    RotateToken,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bash, for every new shell: needs the package bash-completion\n    mkdir -p ~/.local/share/bash-completion/completions\n    cosmos completions bash > ~/.local/share/bash-completion/completions/cosmos\n  bash, for this shell, or without the package in ~/.bashrc\n    source <(cosmos completions bash)\n  zsh, in a folder of fpath: before `compinit`, ~/.zshrc has `fpath=(~/.zfunc $fpath)`\n    mkdir -p ~/.zfunc && cosmos completions zsh > ~/.zfunc/_cosmos\n  fish\n    mkdir -p ~/.config/fish/completions\n    cosmos completions fish > ~/.config/fish/completions/cosmos.fish\n\nServices, commands, images and profiles are those of the cosmos.toml here; containers, revisions and requests those that the proxy knows, if it answers at once."
)]
pub(super) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    pub(super) shell: Shell,
}

/// A shell that can be taught to complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    /// Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos man                    of Cosmos itself\n  cosmos man up                 of a verb\n  cosmos man --dir ~/.local/share/man/man1    write all of them, for `man cosmos-up`"
)]
pub(super) struct Man {
    /// A verb, and its verb: `up`, `http show`
    #[arg(value_name = "VERB")]
    pub(super) verbs: Vec<String>,
    /// Write all pages into this folder, which is made
    #[arg(long, value_name = "DIR", conflicts_with = "verbs")]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cosmos help up\n  cosmos help http replay\n  cosmos help exit-codes     what an exit code says\n  cosmos help environment    the variables that are read\n  cosmos help files          the files that are read and kept"
)]
pub(super) struct Help {
    /// A verb, and its verb; or a topic
    #[arg(value_name = "VERB")]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Complete {
    /// Whose quotes, and what it shows
    #[arg(value_enum)]
    pub(super) shell: Shell,
    /// The line, up to the cursor
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) words: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    fn start(line: &str) -> Start {
        let words = std::iter::once("cosmos").chain(line.split(' '));
        match Cli::try_parse_from(words).unwrap().verb {
            Verb::Start(start) => start,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_stands_after_the_image_is_the_commands_own() {
        for (line, words) in [
            ("start ubuntu echo --help", vec!["ubuntu", "echo", "--help"]),
            ("start ubuntu --help", vec!["ubuntu", "--help"]),
            ("start ubuntu ls -q -d", vec!["ubuntu", "ls", "-q", "-d"]),
            ("start -- ubuntu ls", vec!["ubuntu", "ls"]),
        ] {
            let start = start(line);
            assert_eq!(start.words, words, "{line}");
            assert!(!start.detach, "{line}");
        }
    }

    #[test]
    fn what_runs_again_is_all_or_what_is_named() {
        for (line, commands, services) in [
            ("up", vec![], vec![]),
            ("up --rerun", vec![EVERY], vec![]),
            ("up --rerun web", vec![EVERY], vec!["web"]),
            ("up --rerun=seed web", vec!["seed"], vec!["web"]),
            ("up --rerun=a,b --rerun=c", vec!["a", "b", "c"], vec![]),
        ] {
            let words = std::iter::once("cosmos").chain(line.split(' '));
            let Verb::Up(up) = Cli::try_parse_from(words).unwrap().verb else {
                panic!("{line}");
            };
            assert_eq!(up.rerun.commands, commands, "{line}");
            assert_eq!(up.services, services, "{line}");
        }
    }

    #[test]
    fn help_before_the_image_is_ours() {
        let asked = Cli::try_parse_from(["cosmos", "start", "--help"]).unwrap_err();
        assert_eq!(asked.kind(), ErrorKind::DisplayHelp);
    }
}
