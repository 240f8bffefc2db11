//! The command line: one verb per file.
//!
//! The CLI knows the user: it reads the folder, the files, the environment and
//! the terminal, resolves everything to absolute values, and asks the server.
//! It is the only part that prints: data to stdout, everything else to stderr.
//! `print!` and its kin panic when nobody reads; `ui` has what does not.

mod adopt;
mod args;
mod ask;
mod attached;
mod bootstrap;
mod browser;
mod build;
mod check;
mod complete;
mod completions;
mod config;
mod context;
mod cp;
mod credentials;
mod dashboard;
mod doctor;
mod down;
mod error;
mod exec;
mod help;
mod here;
mod history;
mod http;
mod init;
mod logs;
mod man;
mod mistyped;
mod open;
mod orders;
mod plan;
mod port;
mod private;
mod proxy;
mod prune;
mod pull;
mod rm;
mod rollback;
mod run;
mod scale;
mod serve;
mod shorthand;
mod start;
mod state;
mod status;
mod tar_stream;
pub mod terminal;
mod top;
mod topics;
mod trust;
mod ui;
mod up;
mod wait;
mod watch;
mod who;

use std::process::ExitCode;

use args::{Cli, Verb};
use error::Failure;
use tokio::runtime::Builder;

/// Parses the command line, carries it out, and says how it went.
pub fn run() -> ExitCode {
    let cli = match mistyped::parse() {
        Ok(cli) => cli,
        Err(failure) => return error::report(&failure),
    };
    let runtime = match threads(&cli.verb).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return error::report(&Failure::from(error)),
    };
    let result = runtime.block_on(dispatch(cli));
    // A blocked read of the terminal must not keep us alive.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(failure) => error::report(&failure),
    }
}

/// What asks one thing and tells the answer does it on its own thread: others take longer
/// to begin than the answer to come. What watches, streams or serves has several.
fn threads(verb: &Verb) -> Builder {
    match verb {
        Verb::Up(args) if !args.watch => Builder::new_current_thread(),
        Verb::Plan(_)
        | Verb::Status(_)
        | Verb::Port(_)
        | Verb::Open(_)
        | Verb::History(_)
        | Verb::Why(_)
        | Verb::Wait(_)
        | Verb::Check(_)
        | Verb::Config(_)
        | Verb::Stop(_)
        | Verb::Restart(_)
        | Verb::Release(_)
        | Verb::Scale(_)
        | Verb::Down(_)
        | Verb::Complete(_) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    }
}

async fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let global = cli.global;
    match cli.verb {
        Verb::Up(args) => up::run(global, args).await,
        Verb::Watch(args) => watch::run(global, args).await,
        Verb::Down(args) => down::run(global, args).await,
        Verb::History(args) => history::history(global, args).await,
        Verb::Why(args) => history::why(global, args).await,
        Verb::Rollback(args) => rollback::run(global, args).await,
        Verb::Plan(args) => plan::run(global, args).await,
        Verb::Status(args) => status::run(global, args).await,
        Verb::Top(args) => top::run(global, args).await,
        Verb::Logs(args) => logs::run(global, args).await,
        Verb::Port(args) => port::run(global, args).await,
        Verb::Open(args) => open::run(global, args).await,
        Verb::Exec(args) => exec::run(global, args).await,
        Verb::Cp(args) => cp::run(global, args).await,
        Verb::Pull(args) => pull::run(global, args).await,
        Verb::Run(args) => run::run(global, args).await,
        Verb::Start(args) => start::run(global, args).await,
        Verb::Stop(args) => orders::stop(global, args).await,
        Verb::Restart(args) => orders::restart(global, args).await,
        Verb::Scale(args) => scale::run(global, args).await,
        Verb::Wait(args) => wait::run(global, args).await,
        Verb::Release(args) => orders::release(global, args).await,
        Verb::Build(args) => build::run(global, args).await,
        Verb::Adopt(args) => adopt::run(global, args).await,
        Verb::Init(args) => init::run(&global, &args),
        Verb::Check(args) => check::run(&global, &args),
        Verb::Config(args) => config::run(&global, &args),
        Verb::Rm(args) => rm::run(global, args).await,
        Verb::Prune(args) => prune::run(global, args).await,
        Verb::Http(args) => http::run(global, args).await,
        Verb::Doctor(args) => doctor::run(global, args).await,
        Verb::Dashboard(args) => dashboard::run(global, args).await,
        Verb::Proxy(args) => proxy::run(global, args).await,
        Verb::State(args) => state::run(global, args).await,
        Verb::Completions(args) => Ok(completions::run(&args)),
        Verb::Man(args) => man::run(args).await,
        Verb::Help(args) => help::run(&args),
        Verb::Serve => serve::run().await,
        Verb::Complete(args) => Ok(complete::run(args).await),
    }
}

/// The width of the screen that what is said goes to, if it goes to one.
fn terminal_width() -> Option<usize> {
    width_of(std::io::stderr())
}

/// The same of data, which may go to a file while the rest is read.
fn output_width() -> Option<usize> {
    width_of(std::io::stdout())
}

fn width_of(stream: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}
