//! The engine's socket, attacked by those who may do nothing: containers, pages in a
//! browser, whoever forges an address.
//!
//! Each of them tries the same orders. Afterwards the engine was asked to change
//! nothing, and what runs runs as before.

mod containers;
mod forged;
mod impostor;
mod machines;
mod pages;

use super::{
    faults::chaos::Chaos,
    workspace::support::{Place, inspect},
};

/// An order that would be obeyed, were it given by somebody who may.
struct Order {
    method: &'static str,
    path: &'static str,
    body: String,
}

/// A workspace that is up, with a container that anybody on the host may stop.
struct Stronghold {
    place: Place,
    /// Between the proxy and the engine: it counts.
    chaos: Chaos,
    victim: String,
}

/// What an attack would change.
#[derive(Debug, PartialEq)]
struct Standing {
    writes: usize,
    victim: Option<String>,
    made: Vec<String>,
}

impl Stronghold {
    fn new(config: &str) -> Self {
        let chaos = Chaos::new();
        let place = Place::new(config).through(chaos.socket());
        let _ = place.cosmos(&["up", "--trust"]).succeeded();
        let victim = format!("{}-victim", place.name);
        let start = ["start", "-d", "--name", &victim, "busybox:latest"];
        let _ = place
            .cosmos(&[&start[..], &["sleep", "1000"]].concat())
            .succeeded();
        Self {
            place,
            chaos,
            victim,
        }
    }

    /// Start something, stop something, and read what is nobody else's business.
    fn orders(&self) -> Vec<Order> {
        let get = |path| Order {
            method: "GET",
            path,
            body: String::new(),
        };
        let post = |path, body: String| Order {
            method: "POST",
            path,
            body,
        };
        let victim = &self.victim;
        vec![
            post(
                "/container",
                r#"{"action":"start","image":"busybox:latest","args":["sleep","1000"]}"#.to_owned(),
            ),
            post(
                "/container",
                format!(r#"{{"action":"stop","container_id":"{victim}"}}"#),
            ),
            post("/_cosmos/v1/session", "{}".to_owned()),
            get("/_cosmos/v1/exchanges"),
            get("/_cosmos/v1/containers"),
            get("/_cosmos/v1/state"),
            get("/_cosmos/v1/token"),
        ]
    }

    fn standing(&self) -> Standing {
        let count = |method| self.chaos.count(method, "");
        Standing {
            writes: count("POST") + count("PUT") + count("DELETE"),
            victim: inspect(&self.victim, "{{.State.Running}} {{.State.StartedAt}}"),
            made: self.place.containers(&["kind=adhoc"]),
        }
    }

    /// What the host's own user gets for the founding call, without a token.
    fn honest_start(&self) -> u16 {
        let port = self.place.port;
        let body = &self.orders()[0].body;
        let answer = super::workspace::support::ask(
            port,
            &format!(
                "POST /container HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ),
        );
        answer.unwrap().status
    }
}
