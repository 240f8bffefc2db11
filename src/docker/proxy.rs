//! The proxy's own container: the one that holds the engine's socket.
//!
//! It can do as little as a container can: no capabilities, a root that cannot
//! be written, no new privileges. What it has is the socket, which is all.

use std::{collections::HashMap, path::PathBuf};

use bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions, PortBinding, PortMap,
    RestartPolicyNameEnum,
};

use super::{
    labels,
    request::{CreateRequest, restart},
};
use crate::workspace::{Installation, Kind};

/// The port it listens on inside.
pub const PORT: u16 = 8080;

/// Where its state is.
pub const STATE: &str = "/var/lib/cosmos";

/// Where it finds the engine.
pub const SOCKET: &str = "/var/run/docker.sock";

/// The user it runs as: nobody's, as distroless images have it.
pub const USER: u32 = 65532;

/// Four times what it needs for 10,000 idle connections and full rings.
const MEMORY: i64 = 256 << 20;

/// What differs between one proxy and another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyRequest {
    /// Whose.
    pub installation: Installation,
    /// Its image.
    pub image: String,
    /// The version of Cosmos that makes it.
    pub version: String,
    /// The port on the host's loopback.
    pub port: u16,
    /// Also on `[::1]`.
    pub ipv6: bool,
    /// The engine's socket on the host.
    pub socket: PathBuf,
    /// The group that may use the socket.
    pub socket_group: Option<u32>,
    /// The engine runs as a user: in its containers root is that user, and
    /// anyone else can use neither socket nor volume.
    pub rootless: bool,
    /// Further environment.
    pub env: Vec<(String, String)>,
}

/// What to ask for a proxy.
pub fn create(proxy: &ProxyRequest) -> CreateRequest {
    let installation = &proxy.installation;
    let mut labels: HashMap<String, String> =
        labels::of_installation(installation).into_iter().collect();
    labels.insert(labels::KIND.to_owned(), Kind::Proxy.as_str().to_owned());
    labels.insert(labels::VERSION.to_owned(), proxy.version.clone());
    let env = std::iter::once(format!("COSMOS_INSTALLATION={installation}"))
        .chain(
            proxy
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        )
        .collect();
    CreateRequest {
        name: installation.proxy(),
        platform: None,
        body: ContainerCreateBody {
            hostname: Some(installation.proxy()),
            user: Some(if proxy.rootless {
                "0:0".to_owned()
            } else {
                format!("{USER}:{USER}")
            }),
            exposed_ports: Some(vec![format!("{PORT}/tcp")]),
            env: Some(env),
            entrypoint: Some(vec!["/cosmos".to_owned()]),
            cmd: Some(vec!["serve".to_owned()]),
            image: Some(proxy.image.clone()),
            labels: Some(labels),
            host_config: Some(host_config(proxy)),
            ..ContainerCreateBody::default()
        },
    }
}

fn host_config(proxy: &ProxyRequest) -> HostConfig {
    let installation = &proxy.installation;
    HostConfig {
        memory: Some(MEMORY),
        memory_swap: Some(MEMORY),
        // By name: it is created first, as the lock, and only whoever wins makes the network.
        network_mode: Some(installation.network().to_string()),
        port_bindings: Some(port_bindings(proxy)),
        restart_policy: Some(restart(RestartPolicyNameEnum::UNLESS_STOPPED)),
        mounts: Some(vec![
            Mount {
                target: Some(SOCKET.to_owned()),
                source: Some(proxy.socket.display().to_string()),
                typ: Some(MountType::BIND),
                ..Mount::default()
            },
            Mount {
                target: Some(STATE.to_owned()),
                source: Some(installation.state_volume()),
                typ: Some(MountType::VOLUME),
                volume_options: Some(MountVolumeOptions {
                    labels: Some(labels::of_installation(installation).into_iter().collect()),
                    ..MountVolumeOptions::default()
                }),
                ..Mount::default()
            },
        ]),
        cap_drop: Some(vec!["ALL".to_owned()]),
        group_add: proxy.socket_group.map(|group| vec![group.to_string()]),
        readonly_rootfs: Some(true),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        // The sticky mode is said: without it the engine's is 0755, root's alone.
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), "mode=1777".to_owned())])),
        ..HostConfig::default()
    }
}

fn port_bindings(proxy: &ProxyRequest) -> PortMap {
    let binding = |address: &str| PortBinding {
        host_ip: Some(address.to_owned()),
        host_port: Some(proxy.port.to_string()),
    };
    let mut bindings = vec![binding("127.0.0.1")];
    if proxy.ipv6 {
        bindings.push(binding("::1"));
    }
    PortMap::from([(format!("{PORT}/tcp"), Some(bindings))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::test_support::pretty;

    fn proxy() -> ProxyRequest {
        ProxyRequest {
            installation: Installation::default(),
            image: "cosmos-proxy:0.1.0-cafe0123".to_owned(),
            version: "0.1.0".to_owned(),
            port: 8080,
            ipv6: true,
            socket: "/var/run/docker.sock".into(),
            socket_group: Some(998),
            rootless: false,
            env: Vec::new(),
        }
    }

    #[test]
    fn the_proxy_is_asked_for_like_this() {
        insta::assert_snapshot!(pretty(&create(&proxy()).body));
    }

    #[test]
    fn on_a_rootless_engine_it_is_the_user_who_runs_the_engine() {
        let body = create(&ProxyRequest {
            rootless: true,
            ..proxy()
        })
        .body;
        assert_eq!(body.user.as_deref(), Some("0:0"));
    }

    #[test]
    fn a_second_installation_shares_no_name_with_the_first() {
        let second = create(&ProxyRequest {
            installation: Installation::new("second").unwrap(),
            ..proxy()
        });
        assert_eq!(second.name, "second-proxy");
        let text = pretty(&second.body);
        assert!(!text.contains("cosmos-net") && !text.contains("cosmos-state"));
    }
}
