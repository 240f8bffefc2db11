//! Upstreams outside: over TLS, and as containers ask for them.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cosmos::traffic::{
    BodyError, BoxBody, Limits, Routes,
    routes::{Address, Leads, Upstream, UpstreamKey},
};
use http_body_util::StreamBody;
use hyper::{Request, Response, body::Frame, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::harness::{Answer, Proxy, TOKEN, full, mirror, proxy, proxy_with, raw_server, rule};

const GET: &str = "GET /chat HTTP/1.1\r\nhost: llm.shop.localhost\r\n\r\n";

/// Somebody who vouches for servers.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for one name, changed as a test wants it.
    fn vouch(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// A server that speaks TLS, tells what name it was called by, and counts connections.
async fn tls_server<F, A>(config: ServerConfig, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>, String) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<BoxBody>> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connection = 0;
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            connection += 1;
            let (_, session) = stream.get_ref();
            let alpn = String::from_utf8_lossy(session.alpn_protocol().unwrap()).into_owned();
            let name = session.server_name().unwrap_or("no name").to_owned();
            let who = format!("{name} {alpn} {connection}");
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request, who.clone());
                async move { Ok::<_, Infallible>(answered.await) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades(),
            );
        }
    });
    address
}

/// One that says who it was called, how, and what for.
async fn tls_mirror(config: ServerConfig) -> SocketAddr {
    tls_server(config, |request, who| async move {
        let host = request.headers()["host"].to_str().unwrap();
        let text = format!("{who} {} {host}", request.uri());
        Response::new(full(text))
    })
    .await
}

fn lead_outside(proxy: &Proxy, host: &str, port: u16, ca: Option<String>) {
    let leads = Leads::Outside {
        upstream: Upstream {
            key: UpstreamKey {
                id: format!("{host}:{port}"),
                started: SystemTime::UNIX_EPOCH,
                address: Address::Tls {
                    host: host.to_owned(),
                    port,
                    ca: ca.map(Arc::from),
                },
            },
            name: format!("{host}:{port}"),
            generation: None,
        },
        authority: format!("{host}:{port}"),
        prefix: "/v1".to_owned(),
    };
    let rule = rule("llm.shop.localhost", leads);
    proxy.shared.set_routes(Arc::new(Routes::new([rule])));
}

#[tokio::test]
async fn an_https_upstream_is_called_by_its_own_name() {
    let authority = Authority::new();
    let server = tls_mirror(authority.vouch("localhost", |_| {})).await;
    let proxy = proxy().await;
    lead_outside(&proxy, "localhost", server.port(), Some(authority.pem()));
    assert_eq!(
        proxy.ask(GET).await.text(),
        format!("localhost http/1.1 1 /v1/chat localhost:{}", server.port())
    );
}

#[tokio::test]
async fn an_https_upstream_may_be_an_address() {
    let authority = Authority::new();
    let server = tls_mirror(authority.vouch("127.0.0.1", |_| {})).await;
    let proxy = proxy().await;
    lead_outside(&proxy, "127.0.0.1", server.port(), Some(authority.pem()));
    let answer = proxy.ask(GET).await;
    assert!(answer.text().starts_with("no name http/1.1"), "{answer:?}");
}

#[tokio::test]
async fn connections_to_an_https_upstream_are_kept() {
    let authority = Authority::new();
    let server = tls_mirror(authority.vouch("localhost", |_| {})).await;
    let proxy = proxy().await;
    lead_outside(&proxy, "localhost", server.port(), Some(authority.pem()));
    for _ in 0..3 {
        let answer = proxy.ask(GET).await;
        assert!(
            answer.text().starts_with("localhost http/1.1 1 "),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn what_one_route_trusts_another_does_not() {
    let authority = Authority::new();
    let server = tls_mirror(authority.vouch("localhost", |_| {})).await;
    let proxy = proxy().await;
    lead_outside(&proxy, "localhost", server.port(), Some(authority.pem()));
    assert_eq!(proxy.ask(GET).await.status, 200);
    // A connection is kept now, and must not be used.
    lead_outside(&proxy, "localhost", server.port(), None);
    assert_eq!(proxy.ask(GET).await.code(), "certificate_untrusted");
}

#[tokio::test]
async fn events_over_tls_are_passed_on_as_they_come() {
    let (give, take) = mpsc::channel::<Bytes>(1);
    let take = Arc::new(Mutex::new(take));
    let authority = Authority::new();
    let config = authority.vouch("localhost", |_| {});
    let server = tls_server(config, move |_, _| {
        let take = Arc::clone(&take);
        async move {
            let mut take = take.lock_owned().await;
            let stream = futures_util::stream::poll_fn(move |cx| {
                take.poll_recv(cx)
                    .map(|bytes| bytes.map(|bytes| Ok::<_, BodyError>(Frame::data(bytes))))
            });
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(BoxBody::new(StreamBody::new(stream)))
                .unwrap()
        }
    })
    .await;
    let proxy = proxy().await;
    lead_outside(&proxy, "localhost", server.port(), Some(authority.pem()));
    let mut client = proxy.connect().await;
    client.send(GET).await;
    assert_eq!(client.head().await.status, 200);
    // Each event is only sent once the one before has arrived.
    for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        give.send(Bytes::from(event)).await.unwrap();
        assert_eq!(client.chunk().await.as_deref(), Some(event.as_bytes()));
    }
    drop(give);
    assert_eq!(client.chunk().await, None);
}

/// What a client is told of a server with this certificate.
async fn told(config: ServerConfig, ca: Option<String>) -> Answer {
    let server = tls_mirror(config).await;
    let proxy = proxy().await;
    lead_outside(&proxy, "localhost", server.port(), ca);
    proxy.ask(GET).await
}

fn assert_told(answer: &Answer, code: &str, message: &str, hint: &str) {
    assert_eq!((answer.status, &*answer.code()), (502, code), "{answer:?}");
    let text = answer.text();
    assert!(text.contains(message) && text.contains(hint), "{text}");
}

#[tokio::test]
async fn a_certificate_that_nobody_trusted_signed_is_explained() {
    let answer = told(Authority::new().vouch("localhost", |_| {}), None).await;
    let message = "nobody who is trusted has signed its certificate";
    assert_told(&answer, "certificate_untrusted", message, "ca = ");
}

#[tokio::test]
async fn a_certificate_of_an_authority_is_explained() {
    let authority = Authority::new();
    let config = authority.vouch("localhost", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let answer = told(config, Some(authority.pem())).await;
    let message = "that of an authority, not of a server";
    assert_told(&answer, "certificate_untrusted", message, "of its own");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_explained() {
    let authority = Authority::new();
    let answer = told(authority.vouch("api.test", |_| {}), Some(authority.pem())).await;
    let message = "not for this name, but for api.test";
    assert_told(&answer, "certificate_wrong_name", message, "`upstream`");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_explained() {
    let authority = Authority::new();
    let config = authority.vouch("localhost", |params| {
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let answer = told(config, Some(authority.pem())).await;
    assert_told(&answer, "certificate_expired", "has expired", "a new one");
}

#[tokio::test]
async fn an_upstream_that_speaks_plain_http_is_explained() {
    let proxy = proxy().await;
    lead_outside(&proxy, "127.0.0.1", mirror().await.port(), None);
    let answer = proxy.ask(GET).await;
    assert_told(&answer, "tls_failed", "does not speak TLS", "http://");
}

#[tokio::test]
async fn a_server_that_never_shakes_hands_is_given_up() {
    let (server, _accepted) = raw_server().await;
    let proxy = proxy_with(Limits {
        connect: Duration::from_millis(100),
        ..Limits::default()
    })
    .await;
    lead_outside(&proxy, "127.0.0.1", server.port(), None);
    let answer = proxy.ask(GET).await;
    assert_eq!((answer.status, &*answer.code()), (504, "connect_timeout"));
}

/// A proxy whose route `llm` leads to a server that tells what it was asked.
async fn known_inside() -> (Proxy, u16) {
    let mirror = mirror().await;
    let port = mirror.port();
    let leads = Leads::Outside {
        upstream: Upstream {
            key: UpstreamKey {
                id: "out".to_owned(),
                started: SystemTime::UNIX_EPOCH,
                address: Address::Name("127.0.0.1".to_owned(), port),
            },
            name: "out".to_owned(),
            generation: None,
        },
        authority: format!("127.0.0.1:{port}"),
        prefix: "/v1".to_owned(),
    };
    let proxy = proxy().await;
    let rules = [
        rule("llm.shop.localhost", leads),
        // A default route takes what nobody else does, but nothing of this.
        cosmos::traffic::routes::Rule {
            host: None,
            ..rule("web.shop.localhost", Leads::To(Vec::new()))
        },
    ];
    let routes = Routes::new(rules).of_proxy("cosmos-proxy");
    proxy.shared.set_routes(Arc::new(routes));
    (proxy, port)
}

#[tokio::test]
async fn from_inside_an_outside_route_gets_the_rest_of_the_path_byte_for_byte() {
    let (proxy, port) = known_inside().await;
    for (path, onward) in [
        ("/_routes/shop/llm/chat?a=%20b&&c", "/v1/chat?a=%20b&&c"),
        ("/_routes/shop/llm", "/v1/"),
        ("/_routes/shop/llm?x", "/v1/?x"),
        ("/_routes/shop/llm/", "/v1/"),
        ("/_routes/shop/llm//a/%2e./b;c", "/v1//a/%2e./b;c"),
        (
            "/_routes/shop/llm/_routes/shop/llm/",
            "/v1/_routes/shop/llm/",
        ),
        ("/_routes/shop/llm/container", "/v1/container"),
        (
            "/_routes/shop/llm/_cosmos/v1/status",
            "/v1/_cosmos/v1/status",
        ),
    ] {
        let answer = proxy
            .ask(format!(
                "GET {path} HTTP/1.1\r\nhost: cosmos-proxy:8080\r\n\r\n"
            ))
            .await;
        let text = answer.text();
        assert!(text.starts_with(&format!("GET {onward}\n")), "{answer:?}");
        assert!(
            text.contains(&format!("\nhost: 127.0.0.1:{port}\n")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_unknown_route_from_inside_is_told_what_there_is() {
    let (proxy, _) = known_inside().await;
    for path in ["/_routes/shop/lm/", "/_routes/", "/_routes/blog/llm/"] {
        let answer = proxy
            .ask(format!(
                "GET {path} HTTP/1.1\r\nhost: cosmos-proxy:8080\r\n\r\n"
            ))
            .await;
        assert_eq!((answer.status, &*answer.code()), (404, "no_route"));
        let url = "http://cosmos-proxy:8080/_routes/shop/llm/";
        assert!(answer.text().contains(url), "{answer:?}");
    }
}

#[tokio::test]
async fn the_proxys_name_inside_manages_nothing() {
    let (proxy, _) = known_inside().await;
    for path in ["/container", "/_cosmos/v1/status"] {
        let answer = proxy
            .ask(format!(
                "POST {path} HTTP/1.1\r\nhost: cosmos-proxy:8080\r\nauthorization: Bearer {TOKEN}\r\n\
                 content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
            ))
            .await;
        assert_eq!((answer.status, &*answer.code()), (421, "misdirected"));
    }
}
