//! Cosmos keeps the containers that a `cosmos.toml` declares as declared.
//!
//! `cosmos up` makes it true; run again, it does nothing. A small proxy
//! container holds the engine's socket: it heals what breaks for as long as the
//! workspace lives, and it is the HTTP reverse proxy in front of every container.
//! `cosmos stop web` is an order and not a fight with the declaration: it is
//! recorded as an override, shown, and honoured until it is released.
//!
//! This crate is the library behind the one binary, `cosmos`. It is no stable
//! interface: it is public for its own tests and for these pages. `main.rs` only
//! calls [`cli::run`].
//!
//! # The data flows one way
//!
//! ```text
//! HOST (cosmos CLI)                                    CONTAINER (cosmos serve)
//! cosmos.toml + layers -> Config -> Workspace --PUT--> Store --+
//! `cosmos stop web` --------------> Override ---POST-> Store --+-> desired --+
//!                                      engine: observe -> Observed ----------+-> plan() -> Plan -> execute -> Events
//! terminal <- Screen <------------------ NDJSON <------------------------------------------------------+
//!                                      (desired, Observed) -> Routes::derive() -> one Arc<Routes>
//! browser --------------------------> listener -> guard -> Routes -> upstream -> browser; a line in the log
//! ```
//!
//! The CLI knows the user: it reads the folder, the files, the environment and
//! the terminal, and sends a [`workspace::Workspace`] in which nothing is left
//! to resolve. The server knows the world: it alone plans, keeps state, and
//! changes the containers of a workspace.
//!
//! # The layers
//!
//! A module imports what its row allows and nothing else. `tests/it/layers.rs`
//! reads this very table and says which line breaks it. What has a star, only
//! a few files may import; the test names them, and why.
//!
//! | module | what it is for | may import |
//! |---|---|---|
//! | [`workspace`] | the words of the domain; pure | - |
//! | [`plan`] | what to do, and why; pure | `workspace` |
//! | [`config`] | from `cosmos.toml` to a workspace | `workspace` |
//! | [`store`] | what survives a restart | `workspace` |
//! | [`traffic`] | what the proxy does with a byte | `workspace` |
//! | [`watch`] | what changed on disk | - |
//! | [`platform`] | what differs from one system to the next | - |
//! | [`reconcile`] | making it true: the engine's port, the executor, the loop | `workspace`, `plan`, `store` |
//! | [`docker`] | the engine | `workspace`, `plan`, `reconcile`, `platform` |
//! | [`api`] | both ends of the wire | `workspace`, `plan`, `reconcile`, `traffic` |
//! | [`dashboard`] | the inspector's page | `workspace` |
//! | [`server`] | `cosmos serve`: where the parts are wired | `workspace`, `plan`, `store`, `traffic`, `reconcile`, `docker`, `api`, `dashboard` |
//! | [`cli`] | one verb per file; the only part that prints | `workspace`, `plan`, `config`, `watch`, `reconcile`, `api`, `traffic*`, `platform`, `docker*`, `server*` |
//!
//! Some crates have a home, so that what they do is in one place:
//!
//! | crate | only in |
//! |---|---|
//! | `bollard` | `docker` |
//! | `rusqlite` | `store` |
//! | `figment` | `config` |
//! | `saphyr_parser` | `config` |
//! | `notify` | `watch` |
//! | `clap` | `cli` |
//! | `axum` | `api`, `dashboard`, `server` |
//! | `tokio` | `traffic`, `reconcile`, `store`, `docker`, `api`, `server`, `cli` |
//!
//! # Where to start reading
//!
//! Ten stops, in the order of one `cosmos up`:
//!
//! 1. [`cli/up.rs`](../src/cosmos/cli/up.rs.html): a verb from its first line to its last: load, send, show, say.
//! 2. [`config/mod.rs`](../src/cosmos/config/mod.rs.html): `load`: every layer of a file, and all of its mistakes at once.
//! 3. [`workspace/desired.rs`](../src/cosmos/workspace/desired.rs.html): what the file means; nothing behind it validates again.
//! 4. [`api/wire.rs`](../src/cosmos/api/wire.rs.html): the types that cross to the server and back, all of them.
//! 5. [`server.rs`](../src/cosmos/server.rs.html): `serve`, a table of contents: each part made, wired and ended.
//! 6. [`reconcile/controller/apply.rs`](../src/cosmos/reconcile/controller/apply.rs.html): a wish made true: look, plan, write the intent down, execute.
//! 7. [`docker/observe.rs`](../src/cosmos/docker/observe.rs.html): one look at the engine, in our words.
//! 8. [`plan/planner.rs`](../src/cosmos/plan/planner.rs.html): `plan`: the heart, a pure function; `plan/tests.rs` reads as its specification.
//! 9. [`reconcile/execute.rs`](../src/cosmos/reconcile/execute.rs.html): carries a plan out, in parallel, and decides nothing.
//! 10. [`traffic/guard.rs`](../src/cosmos/traffic/guard.rs.html): who may manage: the gate in front of the engine's socket.

pub mod api;
pub mod cli;
pub mod config;
pub mod dashboard;
pub mod docker;
pub mod plan;
pub mod platform;
pub mod reconcile;
pub mod server;
pub mod store;
pub mod traffic;
pub mod watch;
pub mod workspace;
