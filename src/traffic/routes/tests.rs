use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use indexmap::IndexMap;

use super::*;
use crate::workspace::{
    Container, ContainerId, ContainerState, Fingerprint, Identity, Image, ImageRef, Kind,
    LiveSettings, Network, NetworkName, Observed, ObservedContainer, Origins, OutsideRoute, Owner,
    ProxyNeeds, PullPolicy, Readiness, RestartPolicy, Route, RouteName, RunState, Service,
    ServiceName, UpdateOrder, UpstreamProtocol, Workspace, WorkspaceName,
};

const STARTED: SystemTime = SystemTime::UNIX_EPOCH;

fn service(route: Option<Route>) -> Service {
    Service {
        container: Container::of(Image::Pulled {
            reference: ImageRef::new("web").unwrap(),
            policy: PullPolicy::Missing,
        }),
        run: RunState::Running,
        replicas: 1,
        depends_on: IndexMap::new(),
        health: None,
        route,
        update: UpdateOrder::Auto,
        restart: RestartPolicy::Always,
        watch: Vec::new(),
    }
}

fn on(port: u16) -> Route {
    Route {
        port,
        hosts: Vec::new(),
        path: None,
        protocol: UpstreamProtocol::Http,
        default: false,
        hold: None,
        capture: CaptureMode::default(),
    }
}

fn workspace(name: &str, services: &[(&str, Service)]) -> Workspace {
    Workspace {
        identity: Identity {
            name: WorkspaceName::new(name).unwrap(),
            instance: None,
            folder: format!("/home/me/{name}"),
        },
        network: Network::bridge(NetworkName::new("cosmos-net").unwrap()),
        proxy: ProxyNeeds::default(),
        services: services
            .iter()
            .map(|(name, service)| (ServiceName::new(*name).unwrap(), service.clone()))
            .collect(),
        commands: IndexMap::new(),
        routes: IndexMap::new(),
        volumes: IndexMap::new(),
        networks: IndexMap::new(),
        origins: Origins::default(),
    }
}

/// A container that runs and is ready, at an address in `cosmos-net`.
fn running(name: &str, address: [u8; 4], owner: Option<Owner>) -> ObservedContainer {
    ObservedContainer {
        id: ContainerId::new(format!("id-of-{name}")).unwrap(),
        name: name.parse().unwrap(),
        owner,
        image: ImageRef::new("web").unwrap(),
        image_id: String::new(),
        state: ContainerState::Running { since: STARTED },
        readiness: Readiness::Ready,
        networks: BTreeMap::from([(
            NetworkName::new("cosmos-net").unwrap(),
            Some(IpAddr::from(address)),
        )]),
        live: LiveSettings::default(),
        ports: Vec::new(),
        exposed: Vec::new(),
        nameless: Vec::new(),
    }
}

fn owner(kind: Kind, workspace: Option<&str>, name: Option<&str>, replica: u32) -> Owner {
    Owner {
        kind,
        workspace: workspace.map(str::to_owned),
        folder: None,
        name: name.map(str::to_owned),
        replica,
        spec: Fingerprint::from_label("0"),
        generation: "g".to_owned(),
    }
}

fn replica(workspace: &str, service: &str, replica: u32, last: u8) -> ObservedContainer {
    running(
        &format!("{workspace}-{service}-{replica}"),
        [172, 18, 0, last],
        Some(owner(
            Kind::Service,
            Some(workspace),
            Some(service),
            replica,
        )),
    )
}

fn adhoc(name: &str, last: u8, exposed: &[u16]) -> ObservedContainer {
    let owner = owner(Kind::Adhoc, None, None, 1);
    let mut container = running(name, [172, 18, 0, last], Some(owner));
    container.exposed = exposed.to_vec();
    container
}

fn derive(workspaces: &[&Workspace], containers: Vec<ObservedContainer>) -> Routes {
    Routes::derive(&RouteInputs {
        workspaces,
        observed: &Observed {
            containers,
            ..Observed::default()
        },
        attached: &BTreeSet::from([NetworkName::new("cosmos-net").unwrap()]),
        port: 8080,
        proxy: "cosmos-proxy",
    })
}

/// Where a URL leads, in words.
fn leads(routes: &Routes, url: &str) -> String {
    let (host, path) = url
        .split_once('/')
        .map_or((url, "/"), |(host, _)| (host, &url[host.len()..]));
    match routes.find(host, path) {
        None => "nowhere".to_owned(),
        Some(target) => match &target.leads {
            Leads::To(upstreams) => upstreams
                .iter()
                .map(|upstream| match &upstream.key.address {
                    Address::Socket(address) => format!("{}@{address}", upstream.name),
                    Address::Http2(address) => format!("{}@{address} h2", upstream.name),
                    Address::Name(..) | Address::Tls { .. } => "outside".to_owned(),
                })
                .collect::<Vec<_>>()
                .join(" "),
            Leads::Nowhere { state, .. } => format!("503 {state}"),
            Leads::Outside {
                upstream,
                authority,
                prefix,
            } => match &upstream.key.address {
                Address::Tls { host, port, .. } => format!("https://{host}:{port}{prefix}"),
                _ => format!("http://{authority}{prefix}"),
            },
            Leads::Unsupported { .. } => "501".to_owned(),
        },
    }
}

fn table(routes: &Routes, expected: &[(&str, &str)]) {
    for (url, expected) in expected {
        assert_eq!(leads(routes, url), *expected, "{url}");
    }
}

fn target(name: &str) -> Arc<Target> {
    Arc::new(Target {
        name: name.to_owned(),
        workspace: None,
        service: None,
        url: String::new(),
        hold: None,
        capture: CaptureMode::default(),
        leads: Leads::Nowhere {
            state: name.to_owned(),
            outlook: Outlook::Down,
            container: None,
        },
    })
}

fn rule(host: &str, path: &str, name: &str) -> Rule {
    Rule {
        host: (!host.is_empty()).then(|| host.to_owned()),
        path: (!path.is_empty()).then(|| path.to_owned()),
        target: target(name),
    }
}

#[test]
fn exact_then_wildcard_then_default_and_the_longest_path() {
    let routes = Routes::new([
        rule("*.example.com", "", "wide"),
        rule("*.b.example.com", "", "narrow"),
        rule("A.example.com.", "", "exact"),
        rule("a.example.com", "/api", "api"),
        rule("a.example.com", "/api/v2/", "v2"),
        rule("only.example.com", "/deep", "deep"),
        rule("", "", "default"),
        rule("", "/assets", "assets"),
    ]);
    table(
        &routes,
        &[
            ("a.example.com", "503 exact"),
            ("a.example.com/apis", "503 exact"),
            ("a.example.com/api", "503 api"),
            ("a.example.com/api/", "503 api"),
            ("a.example.com/api/v2", "503 v2"),
            ("a.example.com/api/v2/x", "503 v2"),
            ("a.example.com/api/v22", "503 api"),
            ("a.example.com/API", "503 exact"),
            ("x.example.com", "503 wide"),
            ("x.b.example.com", "503 narrow"),
            ("y.x.b.example.com", "503 narrow"),
            ("b.example.com", "503 wide"),
            ("example.com", "503 default"),
            ("xexample.com", "503 default"),
            ("example.com/assets/a.css", "503 assets"),
            ("only.example.com/deep/x", "503 deep"),
            ("only.example.com/shallow", "503 wide"),
        ],
    );
    assert!(routes.is_live("only.example.com"));
    assert!(routes.is_live("x.example.com"));
    assert!(!routes.is_live("example.com"));
}

#[test]
fn of_two_claims_the_first_holds_and_the_other_is_told() {
    let routes = Routes::new([rule("a.test", "/x", "one"), rule("a.test", "/x/", "two")]);
    assert_eq!(leads(&routes, "a.test/x"), "503 one");
    assert_eq!(routes.conflicts(), ["two cannot have a.test/x: one has it"]);
}

#[test]
fn a_service_is_found_under_its_own_name_and_those_it_declares() {
    let web = Route {
        hosts: vec!["shop.localhost".to_owned(), "*.shop.test".to_owned()],
        default: true,
        ..on(3000)
    };
    let api = Route {
        hosts: vec!["shop.localhost".to_owned()],
        path: Some("/api".to_owned()),
        ..on(4000)
    };
    let shop = workspace(
        "shop",
        &[("web", service(Some(web))), ("api", service(Some(api)))],
    );
    let routes = derive(
        &[&shop],
        vec![replica("shop", "web", 1, 2), replica("shop", "api", 1, 3)],
    );
    table(
        &routes,
        &[
            ("web.shop.localhost", "shop-web-1@172.18.0.2:3000"),
            ("api.shop.localhost/api/x", "shop-api-1@172.18.0.3:4000"),
            ("shop.localhost", "shop-web-1@172.18.0.2:3000"),
            ("shop.localhost/api", "shop-api-1@172.18.0.3:4000"),
            ("eu.shop.test", "shop-web-1@172.18.0.2:3000"),
            ("localhost", "shop-web-1@172.18.0.2:3000"),
        ],
    );
    assert!(routes.conflicts().is_empty());
    let urls: Vec<&str> = routes.targets().map(|target| target.url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "http://web.shop.localhost:8080",
            "http://api.shop.localhost:8080"
        ]
    );
}

#[test]
fn an_instance_is_part_of_the_host() {
    let mut shop = workspace("shop", &[("web", service(Some(on(80))))]);
    shop.identity.instance = Some("fix-42".parse().unwrap());
    let mut container = running("shop-fix-42-web-1", [172, 18, 0, 2], None);
    container.owner = Some(owner(Kind::Service, Some("fix-42.shop"), Some("web"), 1));
    let routes = derive(&[&shop], vec![container]);
    table(
        &routes,
        &[
            (
                "web.fix-42.shop.localhost",
                "shop-fix-42-web-1@172.18.0.2:80",
            ),
            ("web.shop.localhost", "nowhere"),
        ],
    );
}

#[test]
fn a_route_makes_itself_where_there_is_only_one_port() {
    let shop = workspace(
        "shop",
        &[
            ("web", service(None)),
            ("db", service(None)),
            ("none", service(None)),
        ],
    );
    let mut web = replica("shop", "web", 1, 2);
    web.exposed = vec![8000];
    let mut db = replica("shop", "db", 1, 3);
    db.exposed = vec![1, 2];
    let routes = derive(&[&shop], vec![web, db, replica("shop", "none", 1, 4)]);
    table(
        &routes,
        &[
            ("web.shop.localhost", "shop-web-1@172.18.0.2:8000"),
            ("db.shop.localhost", "nowhere"),
            ("none.shop.localhost", "nowhere"),
        ],
    );
}

#[test]
fn every_ready_replica_answers_and_no_other() {
    let shop = workspace("shop", &[("web", service(Some(on(80))))]);
    let mut starting = replica("shop", "web", 3, 4);
    starting.readiness = Readiness::Starting;
    let routes = derive(
        &[&shop],
        vec![
            replica("shop", "web", 2, 3),
            replica("shop", "web", 1, 2),
            starting,
        ],
    );
    assert_eq!(
        leads(&routes, "web.shop.localhost"),
        "shop-web-1@172.18.0.2:80 shop-web-2@172.18.0.3:80"
    );
}

#[test]
fn while_a_replica_is_replaced_the_ready_one_with_its_name_answers() {
    let shop = workspace("shop", &[("web", service(Some(on(80))))]);
    let mut old = replica("shop", "web", 1, 2);
    old.name = "shop-web-1.77c0".parse().unwrap();
    let mut new = replica("shop", "web", 1, 3);
    new.readiness = Readiness::Starting;
    let routes = derive(&[&shop], vec![old.clone(), new.clone()]);
    assert_eq!(
        leads(&routes, "web.shop.localhost"),
        "shop-web-1.77c0@172.18.0.2:80"
    );
    new.readiness = Readiness::Ready;
    for containers in [vec![old.clone(), new.clone()], vec![new, old]] {
        let routes = derive(&[&shop], containers);
        assert_eq!(
            leads(&routes, "web.shop.localhost"),
            "shop-web-1@172.18.0.3:80"
        );
    }
}

#[test]
fn a_service_without_a_ready_container_says_why() {
    let state = |change: &dyn Fn(&mut ObservedContainer)| {
        let shop = workspace("shop", &[("web", service(Some(on(80))))]);
        let mut container = replica("shop", "web", 1, 2);
        change(&mut container);
        leads(&derive(&[&shop], vec![container]), "web.shop.localhost")
    };
    assert_eq!(
        state(&|c| c.readiness = Readiness::Starting),
        "503 starting: not ready yet"
    );
    assert_eq!(
        state(&|c| c.readiness = Readiness::Unhealthy),
        "503 running, but its health check fails"
    );
    assert_eq!(
        state(&|c| c.state = ContainerState::Exited {
            code: 3,
            at: STARTED,
            out_of_memory: false
        }),
        "503 exited with code 3"
    );
    assert_eq!(
        state(&|c| c.networks.clear()),
        "503 running, but in no network that the proxy is in"
    );

    let mut shop = workspace("shop", &[("web", service(Some(on(80))))]);
    assert_eq!(
        leads(&derive(&[&shop], vec![]), "web.shop.localhost"),
        "503 not started yet"
    );
    shop.services[0].run = RunState::Stopped {
        because: "held stopped by `cosmos stop web`".to_owned(),
    };
    assert_eq!(
        leads(&derive(&[&shop], vec![]), "web.shop.localhost"),
        "503 held stopped by `cosmos stop web`"
    );
}

#[test]
fn only_what_comes_by_itself_is_worth_waiting_for() {
    let outlook = |shop: &Workspace, containers| match &derive(&[shop], containers)
        .find("web.shop.localhost", "/")
        .unwrap()
        .leads
    {
        Leads::Nowhere { outlook, .. } => *outlook,
        leads => panic!("{leads:?}"),
    };
    let mut shop = workspace("shop", &[("web", service(Some(on(80))))]);
    let web = |state, readiness| ObservedContainer {
        state,
        readiness,
        ..replica("shop", "web", 1, 2)
    };
    let exited = ContainerState::Exited {
        code: 1,
        at: STARTED,
        out_of_memory: false,
    };
    let running = ContainerState::Running { since: STARTED };
    for (state, readiness, expected) in [
        (
            ContainerState::Created,
            Readiness::Starting,
            Outlook::Starting,
        ),
        (running, Readiness::Starting, Outlook::Starting),
        (running, Readiness::Unhealthy, Outlook::Down),
        (ContainerState::Paused, Readiness::Starting, Outlook::Down),
        (ContainerState::Dead, Readiness::Starting, Outlook::Starting),
        (exited, Readiness::Starting, Outlook::Ended(STARTED)),
    ] {
        let have = outlook(&shop, vec![web(state, readiness)]);
        assert_eq!(have, expected, "{state:?} {readiness:?}");
    }
    assert_eq!(outlook(&shop, vec![]), Outlook::Starting);
    // The one that was replaced has ended, the one in its place is on its way.
    let both = vec![
        web(exited, Readiness::Starting),
        web(running, Readiness::Starting),
    ];
    assert_eq!(outlook(&shop, both), Outlook::Starting);
    shop.services[0].run = RunState::Off;
    let starting = vec![web(running, Readiness::Starting)];
    assert_eq!(outlook(&shop, starting), Outlook::Down);
}

#[test]
fn an_ad_hoc_container_is_found_under_its_name() {
    let mut gone = adhoc("gone", 9, &[]);
    gone.state = ContainerState::Exited {
        code: 0,
        at: STARTED,
        out_of_memory: false,
    };
    let mut foreign = adhoc("foreign", 8, &[80]);
    foreign.owner = None;
    let routes = derive(
        &[],
        vec![
            adhoc("nginx-k3f9", 2, &[80]),
            adhoc("one", 3, &[8000]),
            adhoc("many", 4, &[443, 80, 22]),
            adhoc("low", 5, &[9001, 9000]),
            adhoc("none", 6, &[]),
            adhoc("My_App.1", 7, &[]),
            gone,
            foreign,
        ],
    );
    table(
        &routes,
        &[
            ("nginx-k3f9.localhost", "nginx-k3f9@172.18.0.2:80"),
            ("one.localhost", "one@172.18.0.3:8000"),
            ("many.localhost", "many@172.18.0.4:80"),
            ("low.localhost", "low@172.18.0.5:9000"),
            ("none.localhost", "none@172.18.0.6:80"),
            ("my_app.1.localhost", "My_App.1@172.18.0.7:80"),
            ("gone.localhost", "503 exited with code 0"),
            ("foreign.localhost", "nowhere"),
        ],
    );
}

#[test]
fn nobody_takes_a_services_own_name_or_the_dashboards() {
    let thief = Route {
        hosts: vec![
            "web.shop.localhost".to_owned(),
            "cosmos.localhost".to_owned(),
        ],
        ..on(80)
    };
    let evil = workspace("evil", &[("web", service(Some(thief)))]);
    let shop = workspace("shop", &[("web", service(Some(on(80))))]);
    let routes = derive(
        &[&evil, &shop],
        vec![
            replica("evil", "web", 1, 2),
            replica("shop", "web", 1, 3),
            adhoc("web.shop", 4, &[]),
            adhoc("cosmos", 5, &[]),
        ],
    );
    table(
        &routes,
        &[
            ("web.shop.localhost", "shop-web-1@172.18.0.3:80"),
            ("cosmos.localhost", "nowhere"),
        ],
    );
    assert_eq!(
        routes.conflicts(),
        [
            "container `cosmos` cannot have `cosmos.localhost`: it is the dashboard's",
            "service `web` of `evil` cannot have `cosmos.localhost`: it is the dashboard's",
            "container `web.shop` cannot have web.shop.localhost: service `web` of `shop` has it",
            "service `web` of `evil` cannot have web.shop.localhost: service `web` of `shop` has it",
        ]
    );
}

#[test]
fn a_restarted_container_is_another_upstream() {
    let shop = workspace("shop", &[("web", service(Some(on(80))))]);
    let key = |started: SystemTime| {
        let mut container = replica("shop", "web", 1, 2);
        container.state = ContainerState::Running { since: started };
        let routes = derive(&[&shop], vec![container]);
        routes.find("web.shop.localhost", "/").unwrap().upstreams()[0]
            .key
            .clone()
    };
    assert_eq!(key(STARTED), key(STARTED));
    assert_ne!(key(STARTED), key(STARTED + Duration::from_secs(1)));
}

#[test]
fn an_outside_route_leads_out_over_http_and_https() {
    let mut shop = workspace("shop", &[]);
    for (name, upstream) in [
        ("plain", "http://api.test:81/v1/"),
        ("bare", "http://api.test"),
        ("tls", "https://api.test/v1"),
        ("tls-port", "https://[::1]:444"),
        ("other", "ftp://api.test"),
        ("user", "http://me:secret@api.test"),
        ("query", "http://api.test/a?b"),
    ] {
        shop.routes.insert(
            RouteName::new(name).unwrap(),
            OutsideRoute {
                upstream: upstream.to_owned(),
                hosts: Vec::new(),
                ca: None,
                capture: CaptureMode::default(),
            },
        );
    }
    let routes = derive(&[&shop], vec![]);
    table(
        &routes,
        &[
            ("plain.shop.localhost/x", "http://api.test:81/v1"),
            ("bare.shop.localhost", "http://api.test"),
            ("tls.shop.localhost", "https://api.test:443/v1"),
            ("tls-port.shop.localhost", "https://::1:444"),
            ("other.shop.localhost", "501"),
            ("user.shop.localhost", "501"),
            ("query.shop.localhost", "501"),
        ],
    );
}

fn outside(upstream: &str) -> OutsideRoute {
    OutsideRoute {
        upstream: upstream.to_owned(),
        hosts: vec!["cosmos-proxy".to_owned()],
        ca: None,
        capture: CaptureMode::default(),
    }
}

#[test]
fn from_inside_an_outside_route_is_found_by_the_proxys_own_paths() {
    let mut shop = workspace("shop", &[("web", service(Some(on(80))))]);
    let mut fix = workspace("shop", &[]);
    fix.identity.instance = Some("fix-42".parse().unwrap());
    for (workspace, upstream) in [(&mut shop, "http://a.test"), (&mut fix, "http://b.test")] {
        let name = RouteName::new("llm").unwrap();
        workspace.routes.insert(name, outside(upstream));
    }
    let routes = derive(&[&shop, &fix], vec![replica("shop", "web", 1, 2)]);
    for (path, expected) in [
        ("/_routes/shop/llm", Some(("a.test", ""))),
        ("/_routes/shop/llm/", Some(("a.test", "/"))),
        ("/_routes/shop/llm//a/../b", Some(("a.test", "//a/../b"))),
        ("/_routes/fix-42.shop/llm/a", Some(("b.test", "/a"))),
        ("/_routes/shop/llm2/a", None),
        ("/_routes/shop/web/", None),
        ("/_routes/blog/llm/", None),
        ("/_routes/shop", None),
        ("/_routes/shop//llm", None),
        ("/_routes//", None),
        ("/_routes/", None),
    ] {
        assert!(routes.is_from_inside("cosmos-proxy", path), "{path}");
        let found = routes.find_from_inside(path).map(|(target, taken)| {
            let Leads::Outside { authority, .. } = &target.leads else {
                panic!("{path} leads to {}", target.name);
            };
            (authority.as_str(), &path[taken..])
        });
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn only_the_proxys_own_name_and_its_reserved_paths_are_from_inside() {
    let routes = derive(&[], vec![]);
    for (host, path) in [
        ("web.shop.localhost", "/_routes/shop/llm/"),
        ("localhost", "/_routes/shop/llm/"),
        ("", "/_routes/shop/llm/"),
        ("cosmos-proxy", "/"),
        ("cosmos-proxy", "/_routes"),
        ("cosmos-proxy", "/%5froutes/shop/llm/"),
        ("cosmos-proxy", "/x/../_routes/shop/llm/"),
        ("cosmos-proxy", "//_routes/shop/llm/"),
        ("cosmos-proxy", "/container"),
    ] {
        assert!(!routes.is_from_inside(host, path), "{host}{path}");
    }
    assert!(!Routes::new([]).is_from_inside("", "/_routes/shop/llm/"));
}

#[test]
fn nobody_takes_the_proxys_own_name() {
    let mut shop = workspace("shop", &[]);
    let name = RouteName::new("llm").unwrap();
    shop.routes.insert(name, outside("http://a.test"));
    let routes = derive(&[&shop], vec![]);
    assert!(!routes.is_live("cosmos-proxy"));
    assert_eq!(
        routes.conflicts(),
        ["route `llm` of `shop` cannot have `cosmos-proxy`: it is the proxy's"]
    );
}

#[test]
fn an_upstream_is_spoken_to_in_its_routes_protocol() {
    for (protocol, expected) in [
        (UpstreamProtocol::Http, "shop-web-1@172.18.0.2:80"),
        (UpstreamProtocol::H2c, "shop-web-1@172.18.0.2:80 h2"),
        (UpstreamProtocol::Grpc, "shop-web-1@172.18.0.2:80 h2"),
    ] {
        let route = Route { protocol, ..on(80) };
        let shop = workspace("shop", &[("web", service(Some(route)))]);
        let routes = derive(&[&shop], vec![replica("shop", "web", 1, 2)]);
        assert_eq!(leads(&routes, "web.shop.localhost"), expected);
    }
}
