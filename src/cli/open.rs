//! `cosmos open`: a service's page in the browser, through the proxy.

use std::process::ExitCode;

use super::{
    args::{Global, Open as Args},
    bootstrap, browser,
    error::Failure,
    exec::found,
    status::url,
    ui::{outln, printable, sayln},
};
use crate::{api::wire::Found, platform};

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let client = bootstrap::existing(&global).await?;
    let name = &args.name;
    let found = found(&global, &client, name).await?;
    let Some(host) = &found.host else {
        return Err(no_route(name, &found));
    };
    let path = args.path.as_deref().or(found.path.as_deref());
    let address = format!(
        "{}{}",
        url(host, &client),
        path.map(path_of).unwrap_or_default()
    );
    let runs = found.containers.iter().any(|one| one.state == "running");
    if !runs && !global.quiet {
        sayln!(
            "`{}` is not running: `cosmos start {0}` starts it",
            printable(name)
        );
    }
    if !args.print && platform::has_screen() && browser::open(&address) {
        if !global.quiet {
            sayln!("{address} opens in your browser");
        }
        return Ok(ExitCode::SUCCESS);
    }
    outln!("{address}");
    Ok(ExitCode::SUCCESS)
}

/// Why there is no address.
fn no_route(name: &str, found: &Found) -> Failure {
    match &found.service {
        Some(service) => Failure::new(format!("service `{service}` has no route")).hinted(format!(
            "give it one in cosmos.toml, with the port it listens on, then `cosmos up`: `route = 80` in [services.{service}]"
        )),
        None => Failure::new(format!(
            "`{name}` has no route: it is the container of a command"
        ))
        .hinted("services and ad-hoc containers have one; `cosmos status` shows theirs"),
    }
}

/// A path as a URL has it: with a slash in front, and nothing in it that an address cannot
/// hold. What is encoded already stays so.
fn path_of(typed: &str) -> String {
    use std::fmt::Write as _;
    let mut path = String::with_capacity(typed.len() + 1);
    if !typed.starts_with(['/', '?', '#']) {
        path.push('/');
    }
    for byte in typed.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_an_address_can_hold() {
        for (typed, path) in [
            ("/admin", "/admin"),
            ("admin", "/admin"),
            ("?q=a b", "?q=a%20b"),
            ("/ä/%20#top", "/%C3%A4/%20#top"),
            ("a\"><script>", "/a%22%3E%3Cscript%3E"),
            ("", "/"),
        ] {
            assert_eq!(path_of(typed), path, "{typed}");
        }
    }

    #[test]
    fn a_service_without_a_route_is_told_how_to_get_one() {
        let found = Found {
            service: Some("db".to_owned()),
            containers: Vec::new(),
            host: None,
            path: None,
        };
        let said = no_route("db", &found).to_string();
        assert!(said.contains("`route = 80` in [services.db]"), "{said}");
    }
}
