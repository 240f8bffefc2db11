//! `cosmos port`: where the ports of a container are on this host.
//!
//! What a container publishes is an address of the host; what the proxy leads to
//! it is a URL. The two are told apart: an address is data for a program, and
//! alone on its line where one port was asked for.

use std::{fmt, process::ExitCode};

use serde::Serialize;

use super::{
    args::{Global, Port as Args},
    bootstrap,
    error::Failure,
    exec::found,
    status::url,
    ui::{outln, printable, sayln},
};
use crate::{
    api::wire::{ContainerStatus, Found},
    workspace::Transport,
};

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let wanted = args.port.as_deref().map(Wanted::read).transpose()?;
    let client = bootstrap::existing(&global).await?;
    let found = found(&global, &client, &args.name).await?;
    let published: Vec<_> = published(&found.containers)
        .into_iter()
        .filter(|port| wanted.is_none_or(|wanted| wanted.is(port)))
        .collect();
    let url = found.host.as_deref().map(|host| {
        let path = found.path.as_deref().unwrap_or_default();
        format!("{}{path}", url(host, &client))
    });
    if args.json {
        let told = Told {
            schema: 1,
            service: found.service.as_deref(),
            ports: &published,
            url: url.as_deref(),
        };
        outln!("{}", serde_json::to_string(&told).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    if published.is_empty() && (wanted.is_some() || url.is_none()) {
        return Err(none(&args.name, wanted, &found, url.as_deref()));
    }
    for line in lines(&published, wanted.is_some()) {
        outln!("{line}");
    }
    if wanted.is_some() {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(url) = &url {
        outln!("{url}");
    }
    if published.is_empty() && !global.quiet {
        let name = printable(&args.name);
        match found.containers.iter().any(|one| one.state == "running") {
            true => sayln!(
                "`{name}` publishes no port: this is the way through the proxy. {}",
                how_to_publish(&found)
            ),
            false => sayln!("`{name}` does not run, and has its ports only while it does"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Told<'a> {
    schema: u32,
    service: Option<&'a str>,
    ports: &'a [Published],
    url: Option<&'a str>,
}

/// A port of a container, and where it is on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Published {
    /// The container's name.
    container: String,
    /// The port in it.
    port: u16,
    transport: Transport,
    /// The host's address.
    address: String,
    /// The host's port.
    host: u16,
}

impl Published {
    /// Reads `127.0.0.1:15432->5432/tcp`.
    fn read(container: &str, text: &str) -> Option<Self> {
        let (outside, inside) = text.rsplit_once("->")?;
        let (address, host) = outside.rsplit_once(':')?;
        let inside = Wanted::parse(inside)?;
        Some(Self {
            container: container.to_owned(),
            port: inside.port,
            transport: inside.transport,
            address: address.to_owned(),
            host: host.parse().ok()?,
        })
    }
}

/// The address: `127.0.0.1:15432`, `[::1]:15432`.
impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.contains(':') {
            true => write!(f, "[{}]:{}", self.address, self.host),
            false => write!(f, "{}:{}", self.address, self.host),
        }
    }
}

/// A port of a container that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    port: u16,
    transport: Transport,
}

impl Wanted {
    fn read(typed: &str) -> Result<Self, Failure> {
        Self::parse(typed).ok_or_else(|| {
            Failure::usage(format!("`{typed}` is no port"))
                .hinted("write it like `80` or `53/udp`: it is the container's")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (port, transport) = text.split_once('/').unwrap_or((text, "tcp"));
        let transport = match transport {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return None,
        };
        let port = port.parse().ok().filter(|port| *port > 0)?;
        Some(Self { port, transport })
    }

    fn is(self, published: &Published) -> bool {
        (self.port, self.transport) == (published.port, published.transport)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.transport)
    }
}

fn published(containers: &[ContainerStatus]) -> Vec<Published> {
    let mut published: Vec<_> = containers
        .iter()
        .flat_map(|container| {
            let ports = container.ports.iter();
            ports.filter_map(|text| Published::read(&container.name, text))
        })
        .collect();
    // The containers in their order; of each, what is lowest first.
    let mut order: Vec<_> = containers.iter().map(|one| one.name.as_str()).collect();
    order.dedup();
    published.sort_by_key(|one| {
        let place = order.iter().position(|name| *name == one.container);
        (place, one.port, one.transport)
    });
    published
}

/// `80/tcp -> 127.0.0.1:49153`, or only the address; of several containers with its name.
fn lines(published: &[Published], is_one: bool) -> Vec<String> {
    let is_many = published
        .iter()
        .any(|port| port.container != published[0].container);
    let line = |port: &Published| match (is_one, is_many) {
        (true, _) => port.to_string(),
        (false, false) => format!("{}/{} -> {port}", port.port, port.transport),
        (false, true) => format!(
            "{}/{} -> {port}  {}",
            port.port, port.transport, port.container
        ),
    };
    published.iter().map(line).collect()
}

/// Why there is nothing to print.
fn none(name: &str, wanted: Option<Wanted>, found: &Found, url: Option<&str>) -> Failure {
    let runs = found.containers.iter().any(|one| one.state == "running");
    if !runs {
        return Failure::new(format!("`{name}` is not running, and has no port now"))
            .hinted(format!("start it: `cosmos start {name}`"));
    }
    let message = match wanted {
        Some(port) => format!("port {port} of `{name}` is not published on this host"),
        None => format!("`{name}` publishes no port on this host"),
    };
    let others = published(&found.containers);
    let hint = match (others.as_slice(), url) {
        ([], Some(url)) => format!(
            "{url} leads to it through the proxy; {}",
            how_to_publish(found)
        ),
        ([], None) => how_to_publish(found),
        (others, _) => format!("published: {}", lines(others, false).join(", ")),
    };
    Failure::new(message).hinted(hint)
}

/// What makes a port one of the host's.
fn how_to_publish(found: &Found) -> String {
    match found.service {
        Some(_) => "`ports = [80]` in cosmos.toml publishes one".to_owned(),
        None => "`cosmos start -p 80 ..` publishes one".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Readiness;

    fn container(name: &str, ports: &[&str]) -> ContainerStatus {
        ContainerStatus {
            name: name.to_owned(),
            id: "0123".to_owned(),
            state: "running".to_owned(),
            readiness: Readiness::Ready,
            seconds: None,
            exit_code: None,
            image: "nginx".to_owned(),
            addresses: Vec::new(),
            ports: ports.iter().map(|&port| port.to_owned()).collect(),
            restarts: 0,
        }
    }

    fn found(containers: Vec<ContainerStatus>) -> Found {
        Found {
            service: Some("web".to_owned()),
            containers,
            host: None,
            path: None,
        }
    }

    const TWO: [&str; 3] = [
        "127.0.0.1:49154->443/tcp",
        "0.0.0.0:53->53/udp",
        ":::49153->53/tcp",
    ];

    #[test]
    fn each_port_is_a_line_and_one_that_is_asked_for_its_address_alone() {
        let published = published(&[container("shop-web-1", &TWO)]);
        assert_eq!(
            lines(&published, false),
            [
                "53/tcp -> [::]:49153",
                "53/udp -> 0.0.0.0:53",
                "443/tcp -> 127.0.0.1:49154",
            ]
        );
        let wanted = Wanted::parse("53/udp").unwrap();
        let one: Vec<_> = published
            .into_iter()
            .filter(|port| wanted.is(port))
            .collect();
        assert_eq!(lines(&one, true), ["0.0.0.0:53"]);
    }

    #[test]
    fn of_several_containers_each_line_says_whose_it_is() {
        let ports = ["127.0.0.1:1->80/tcp"];
        let containers = [
            container("shop-web-1", &ports),
            container("shop-web-2", &ports),
        ];
        let shown = lines(&published(&containers), false);
        assert_eq!(shown[1], "80/tcp -> 127.0.0.1:1  shop-web-2");
    }

    #[test]
    fn a_port_is_a_number_and_a_transport() {
        for (text, shown) in [("80", "80/tcp"), ("80/tcp", "80/tcp"), ("53/udp", "53/udp")] {
            assert_eq!(Wanted::parse(text).unwrap().to_string(), shown);
        }
        for wrong in ["", "0", "65536", "80/", "80/sctp", "-1", "http", "8000:80"] {
            assert_eq!(Wanted::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_port_that_nothing_publishes_is_said_with_the_way_to_have_it() {
        let said = |found: &Found, wanted, url| {
            let failure = none("web", wanted, found, url).to_string();
            anstream::adapter::strip_str(&failure).to_string()
        };
        let plain = found(vec![container("shop-web-1", &[])]);
        assert_eq!(
            said(&plain, None, None),
            "error: `web` publishes no port on this host\nhint: `ports = [80]` in cosmos.toml publishes one\n"
        );
        assert_eq!(
            said(
                &plain,
                Wanted::parse("80"),
                Some("http://web.shop.localhost:8080")
            ),
            "error: port 80/tcp of `web` is not published on this host\nhint: http://web.shop.localhost:8080 leads to it through the proxy; `ports = [80]` in cosmos.toml publishes one\n"
        );
        let other = found(vec![container("shop-web-1", &TWO[..1])]);
        assert_eq!(
            said(&other, Wanted::parse("80"), None),
            "error: port 80/tcp of `web` is not published on this host\nhint: published: 443/tcp -> 127.0.0.1:49154\n"
        );
        assert!(said(&found(Vec::new()), None, None).contains("cosmos start web"));
    }
}
