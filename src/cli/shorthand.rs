//! Mounts and ports as they are typed: `./src:/src:ro`, `8000:80/udp`.

use std::{env, path::Path};

use super::error::Failure;
use crate::workspace::{Mount, MountSource, PortPublish, Transport, VolumeName};

/// Where published ports listen unless told otherwise.
const LOOPBACK: &str = "127.0.0.1";

/// Reads `SOURCE:TARGET[:ro]`. A source with a slash or a dot in front is a path.
pub(super) fn mount(text: &str) -> Result<Mount, Failure> {
    let wrong = || {
        Failure::usage(format!("`{text}` is no mount"))
            .hinted("write `./folder:/path`, `volume:/path`, or either with `:ro` behind it")
    };
    let (text_without_mode, read_only) = match text.rsplit_once(':') {
        Some((rest, "ro")) => (rest, true),
        Some((rest, "rw")) => (rest, false),
        _ => (text, false),
    };
    let (source, target) = match text_without_mode.split_once(':') {
        Some((source, target)) => (source_of(source).ok_or_else(wrong)?, target),
        None => (MountSource::Anonymous, text_without_mode),
    };
    if !target.starts_with('/') {
        return Err(wrong());
    }
    Ok(Mount {
        source,
        target: target.to_owned(),
        read_only,
    })
}

fn source_of(source: &str) -> Option<MountSource> {
    let path = Path::new(source);
    if path.is_absolute() {
        return Some(MountSource::Host(source.to_owned()));
    }
    if source.starts_with('.') || source.contains('/') {
        let path = env::current_dir().ok()?.join(path);
        let path = path.canonicalize().unwrap_or(path);
        return Some(MountSource::Host(path.to_str()?.to_owned()));
    }
    VolumeName::new(source).ok().map(MountSource::Volume)
}

/// Reads `[[ADDRESS:]HOST:]CONTAINER[/udp]`.
pub(super) fn port(text: &str) -> Result<PortPublish, Failure> {
    let wrong = || {
        Failure::usage(format!("`{text}` is no port"))
            .hinted("write `8000:80`, `127.0.0.1:8000:80/udp`, or `80` for any free one")
    };
    let (ports, transport) = match text.split_once('/') {
        Some((ports, "tcp")) => (ports, Transport::Tcp),
        Some((ports, "udp")) => (ports, Transport::Udp),
        Some(_) => return Err(wrong()),
        None => (text, Transport::Tcp),
    };
    let number = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(wrong)
    };
    let (outside, container) = match ports.rsplit_once(':') {
        Some((outside, container)) => (Some(outside), number(container)?),
        None => (None, number(ports)?),
    };
    let (address, host) = match outside.map(|outside| outside.rsplit_once(':').ok_or(outside)) {
        None => (LOOPBACK, None),
        Some(Ok((address, ""))) => (address, None),
        Some(Ok((address, host))) => (address, Some(number(host)?)),
        Some(Err(host)) => (LOOPBACK, Some(number(host)?)),
    };
    let address = address.trim_start_matches('[').trim_end_matches(']');
    address.parse::<std::net::IpAddr>().map_err(|_| wrong())?;
    Ok(PortPublish {
        container,
        host,
        address: address.to_owned(),
        transport,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let port = port(text).ok()?;
        Some(format!(
            "{} {:?} {} {}",
            port.address, port.host, port.container, port.transport
        ))
    }

    #[test]
    fn a_port_is_read_from_its_end() {
        assert_eq!(shown("80").as_deref(), Some("127.0.0.1 None 80 tcp"));
        assert_eq!(
            shown("8000:80").as_deref(),
            Some("127.0.0.1 Some(8000) 80 tcp")
        );
        assert_eq!(
            shown("0.0.0.0:53:53/udp").as_deref(),
            Some("0.0.0.0 Some(53) 53 udp")
        );
        assert_eq!(
            shown("[::1]:8000:80").as_deref(),
            Some("::1 Some(8000) 80 tcp")
        );
        for wrong in ["", "x", "0", "70000", "80/sctp", "a:b:c", "host:1:2"] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_mount_source_with_a_slash_is_a_path_and_any_other_a_volume() {
        assert!(
            matches!(mount("/a:/b:ro").unwrap(), Mount { source: MountSource::Host(path), read_only: true, .. } if path == "/a")
        );
        assert!(matches!(
            mount("data:/b").unwrap().source,
            MountSource::Volume(_)
        ));
        assert!(matches!(
            mount("./x:/b").unwrap().source,
            MountSource::Host(_)
        ));
        assert!(mount("data:relative").is_err());
    }
}
