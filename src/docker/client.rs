//! The way to the engine's API: one pool of connections, one version prefix,
//! one reading of errors.
//!
//! [bollard] brings the bodies and the framed streams, over this transport
//! ([`Client::docker`]). What is only asked and answered in JSON goes through
//! [`Client::call`] and is read into types of ours: bollard's refuse a whole
//! list for one state they do not know, and Podman has such states.
//!
//! No request has a timeout of its own, since some last for hours. Every other
//! one is made [`within`] the limit of its class.

use std::{
    error::Error as StdError,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bollard::{BollardRequest, ClientVersion, Docker};
use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream::BoxStream};
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{self, HeaderValue},
    rt,
};
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::{endpoint::Endpoint, opened::Opened};
use crate::reconcile::engine::EngineError;

/// The newest API that is spoken here. Fixed, so that a newer engine answers as
/// the ones that were tried do; engine 29 wants at least 1.44.
pub(super) const NEWEST_MINOR: u32 = 47;

/// bollard bounds every request; some of ours follow a container for weeks.
const NO_TIMEOUT: u64 = 60 * 60 * 24 * 365;

/// Longer than the engine needs for any look, however busy it is.
pub(super) const LOOK: Duration = Duration::from_secs(30);

/// As long as creating and starting may take where many do it at once.
pub(super) const CHANGE: Duration = Duration::from_secs(120);

/// Does something no longer than it may take.
pub(super) async fn within<T>(
    call: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(EngineError::Deadline {
            call,
            seconds: limit.as_secs(),
        }),
    }
}

/// What a request carries: bollard's own type, which it does not name in public.
pub(super) type Body = http_body_util::Either<
    http_body_util::Full<Bytes>,
    http_body_util::StreamBody<
        Pin<
            Box<
                dyn futures_util::Stream<Item = Result<hyper::body::Frame<Bytes>, io::Error>>
                    + Send,
            >,
        >,
    >,
>;

/// A connected engine's API.
#[derive(Clone)]
pub(super) struct Client {
    endpoint: Endpoint,
    pool: legacy::Client<Connector, Body>,
    minor: Arc<AtomicU32>,
    docker: Docker,
}

impl Client {
    /// A client that has asked the engine which API it speaks.
    pub(super) async fn connect(endpoint: &Endpoint) -> Result<Self, EngineError> {
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(Connector {
                endpoint: endpoint.clone(),
            });
        let minor = Arc::new(AtomicU32::new(0));
        let docker = Docker::connect_with_custom_transport(
            transport(pool.clone(), Arc::clone(&minor)),
            Some(format!("http://{}", authority(endpoint))),
            NO_TIMEOUT,
            &ClientVersion {
                major_version: 1,
                minor_version: NEWEST_MINOR as usize,
            },
        )
        .map_err(|error| refused(0, error.to_string()))?;
        let client = Self {
            endpoint: endpoint.clone(),
            pool,
            minor,
            docker,
        };
        client.negotiate().await?;
        Ok(client)
    }

    async fn negotiate(&self) -> Result<(), EngineError> {
        let (_, minor) = self.ping().await?;
        self.minor.store(minor.min(NEWEST_MINOR), Ordering::Relaxed);
        Ok(())
    }

    /// What the engine says of itself in headers, and the newest minor version it speaks.
    pub(super) async fn ping(&self) -> Result<(HeaderMap, u32), EngineError> {
        let response = within("ping", LOOK, self.send(Method::GET, "/_ping", None)).await?;
        let headers = response.headers().clone();
        // Read to its end, so that the connection can be used again.
        self.bytes(response).await?;
        let minor = headers
            .get("api-version")
            .and_then(|value| value.to_str().ok())
            .and_then(|version| version.strip_prefix("1."))
            .and_then(|minor| minor.parse::<u32>().ok())
            .ok_or_else(|| EngineError::Unreachable {
                endpoint: self.endpoint.to_string(),
                cause: "what answers there is no container engine".to_owned(),
            })?;
        Ok((headers, minor))
    }

    /// Where it is.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The version that was agreed on: `1.41`.
    pub(super) fn version(&self) -> String {
        format!("1.{}", self.minor.load(Ordering::Relaxed))
    }

    /// bollard over the same connections, without any timeout.
    pub(super) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Asks for JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &Path) -> Result<T, EngineError> {
        let response = self.send(Method::GET, &path.0, None).await?;
        self.json(response).await
    }

    /// Asks for JSON in no version of the API: what engines answer that are too old or too
    /// new for every other question.
    pub(super) async fn get_unversioned<T: DeserializeOwned>(
        &self,
        path: &Path,
    ) -> Result<T, EngineError> {
        let request = self.request(Method::GET, &path.0, bollard::body_full(Bytes::new()))?;
        let response = self.sent(request).await?;
        self.json(response).await
    }

    /// Gives an order without details and takes an answer in JSON.
    pub(super) async fn ask<T: DeserializeOwned>(&self, path: &Path) -> Result<T, EngineError> {
        let response = self.send(Method::POST, &path.0, None).await?;
        self.json(response).await
    }

    /// Sends JSON and takes an answer in JSON.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &Path,
        body: &impl Serialize,
    ) -> Result<T, EngineError> {
        let response = self
            .send(Method::POST, &path.0, Some(to_json(body)?))
            .await?;
        self.json(response).await
    }

    /// Gives an order and looks only at whether it was taken.
    pub(super) async fn call(&self, method: Method, path: &Path) -> Result<(), EngineError> {
        let response = self.send(method, &path.0, None).await?;
        // Read to its end, so that the connection can be used again.
        self.bytes(response).await.map(drop)
    }

    /// Gives an order with details.
    pub(super) async fn call_with(
        &self,
        method: Method,
        path: &Path,
        body: &impl Serialize,
    ) -> Result<(), EngineError> {
        let response = self.send(method, &path.0, Some(to_json(body)?)).await?;
        self.bytes(response).await.map(drop)
    }

    /// Asks only for what is said about an answer.
    pub(super) async fn head(&self, path: &Path) -> Result<HeaderMap, EngineError> {
        let response = self.send(Method::HEAD, &path.0, None).await?;
        Ok(response.headers().clone())
    }

    /// Opens an answer that goes on.
    pub(super) async fn open(&self, path: &Path) -> Result<Opened, EngineError> {
        let request = self.request(Method::GET, &path.0, bollard::body_full(Bytes::new()))?;
        let mut request = versioned(request, self.minor.load(Ordering::Relaxed));
        // As it is written on the wire: no pool is between that would see to it.
        let host = HeaderValue::from_str(authority(&self.endpoint));
        let host = host.map_err(|error| refused(0, error.to_string()))?;
        request.headers_mut().insert(header::HOST, host);
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();

        let wire = connect(&self.endpoint).await;
        let wire = wire.map_err(|error| self.lost(&error))?;
        let opened = Opened::new(wire, request).await;
        let (response, opened) = opened.map_err(|error| self.lost(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(opened);
        }
        let said: Vec<Bytes> = opened
            .try_collect()
            .await
            .map_err(|error| self.lost(&error))?;
        Err(from_status(status.as_u16(), &message(&said.concat())))
    }

    /// Sends a tar as it comes, and opens the answer, which goes on.
    pub(super) async fn upload(
        &self,
        path: &Path,
        headers: [(&'static str, String); 1],
        tar: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<Incoming, EngineError> {
        let mut request = self.request(Method::POST, &path.0, bollard::body_try_stream(tar))?;
        request.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-tar"),
        );
        for (name, value) in headers {
            let mut value =
                HeaderValue::try_from(value).map_err(|error| refused(0, error.to_string()))?;
            // Logins: no log of headers may show them.
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        Ok(self.answer(request).await?.into_body())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        json: Option<Bytes>,
    ) -> Result<Response<Incoming>, EngineError> {
        let has_body = json.is_some();
        let body = bollard::body_full(json.unwrap_or_default());
        let mut request = self.request(method, path, body)?;
        if has_body {
            request.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        self.answer(request).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Request<Body>, EngineError> {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", authority(&self.endpoint)))
            .body(body)
            .map_err(|error| refused(0, error.to_string()))
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Incoming>, EngineError> {
        self.sent(versioned(request, self.minor.load(Ordering::Relaxed)))
            .await
    }

    async fn sent(&self, request: Request<Body>) -> Result<Response<Incoming>, EngineError> {
        let response = self
            .pool
            .request(request)
            .await
            .map_err(|error| self.lost(&error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let bytes = self.bytes(response).await?;
        Err(from_status(status.as_u16(), &message(&bytes)))
    }

    async fn json<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
    ) -> Result<T, EngineError> {
        let bytes = self.bytes(response).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| refused(0, format!("its answer makes no sense: {error}")))
    }

    async fn bytes(&self, response: Response<Incoming>) -> Result<Bytes, EngineError> {
        match response.into_body().collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// An error of bollard's in our words.
    pub(super) fn error(&self, error: &bollard::errors::Error) -> EngineError {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError {
                status_code,
                message,
            } => from_status(*status_code, message),
            Error::DockerStreamError { error } => refused(200, error.trim().to_owned()),
            // Itself, since this variant stands in front of what it holds.
            Error::IOError { err } => self.lost(err),
            Error::HyperResponseError { .. } | Error::HyperLegacyError { .. } => self.lost(error),
            other => refused(0, other.to_string()),
        }
    }

    /// An error of the connection in our words.
    pub(super) fn lost(&self, error: &(dyn StdError + 'static)) -> EngineError {
        lost(&self.endpoint, error)
    }
}

fn lost(endpoint: &Endpoint, error: &(dyn StdError + 'static)) -> EngineError {
    let endpoint = endpoint.to_string();
    let mut cause = error;
    loop {
        if let Some(system) = cause.downcast_ref::<io::Error>()
            && system.kind() == io::ErrorKind::PermissionDenied
        {
            return EngineError::Denied { endpoint };
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            // The innermost words are the system's; those around it only say "client error".
            None => {
                return EngineError::Unreachable {
                    endpoint,
                    cause: cause.to_string(),
                };
            }
        }
    }
}

/// A request's path and query, with every part that is not ours made harmless.
pub(super) struct Path(String);

impl Path {
    /// A path that is written here.
    pub(super) fn new(path: &'static str) -> Self {
        Self(path.to_owned())
    }

    /// The same, with the next segment from elsewhere.
    ///
    /// What cannot be a name becomes one that nothing has. Encoding is not
    /// enough: engines decode before they clean a path, and whatever a person
    /// types as a container's name must not lead to another part of the API.
    #[must_use]
    pub(super) fn segment(mut self, segment: &str) -> Self {
        let is_name = !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte));
        self.0.push('/');
        self.0.push_str(if is_name { segment } else { "%20" });
        self
    }

    /// The same, with more that is written here.
    #[must_use]
    pub(super) fn then(mut self, more: &'static str) -> Self {
        self.0.push_str(more);
        self
    }

    /// The same, with an image reference, whose slashes are the API's own.
    #[must_use]
    pub(super) fn image(self, reference: &str) -> Self {
        reference.split('/').fold(self, Self::segment)
    }

    /// The same, with a parameter.
    #[must_use]
    pub(super) fn query(mut self, key: &'static str, value: &str) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(key);
        self.0.push('=');
        encode(value, &mut self.0);
        self
    }
}

/// Percent-encodes what has no place in a parameter.
fn encode(text: &str, into: &mut String) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:@".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

fn to_json(body: &impl Serialize) -> Result<Bytes, EngineError> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| refused(0, error.to_string()))
}

/// The engine's own words in an error's body.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    match serde_json::from_slice::<Message>(body) {
        Ok(message) => message.message,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

pub(super) fn refused(status: u16, message: String) -> EngineError {
    EngineError::Refused { status, message }
}

/// Words of a conflict under a status that does not say so.
const CONFLICTS: [&str; 5] = [
    "has active endpoints",
    "network is being used",
    "has associated containers",
    "name is already in use",
    "network already exists",
];

/// What a status means where nothing more is known of the call.
fn from_status(status: u16, message: &str) -> EngineError {
    let what = message.trim().to_owned();
    match status {
        404 => EngineError::NotFound { what },
        409 => EngineError::Conflict { what },
        // Podman, and Docker of networks, say it with another status.
        _ if CONFLICTS.iter().any(|phrase| what.contains(phrase)) => EngineError::Conflict { what },
        _ => refused(status, what),
    }
}

fn authority(endpoint: &Endpoint) -> &str {
    match endpoint {
        Endpoint::Unix(_) => "localhost",
        Endpoint::Tcp(authority) => authority,
    }
}

/// Puts the agreed version before the path, once: bollard sends none.
fn versioned<B>(mut request: Request<B>, minor: u32) -> Request<B> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", hyper::http::uri::PathAndQuery::as_str);
    if minor == 0 || path.starts_with("/v1.") {
        return request;
    }
    let prefixed = format!("/v1.{minor}{path}");
    let mut parts = request.uri().clone().into_parts();
    if let Ok(path_and_query) = prefixed.parse() {
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

type Answer = Pin<
    Box<dyn Future<Output = Result<Response<Incoming>, bollard::errors::Error>> + Send + 'static>,
>;

fn transport(
    pool: legacy::Client<Connector, Body>,
    minor: Arc<AtomicU32>,
) -> impl Fn(BollardRequest) -> Answer + Send + Sync {
    move |request| {
        let answer = pool.request(versioned(request, minor.load(Ordering::Relaxed)));
        Box::pin(async move { answer.await.map_err(bollard::errors::Error::from) })
    }
}

/// Connects to the one endpoint, whatever host a request names.
#[derive(Clone)]
struct Connector {
    endpoint: Endpoint,
}

impl tower_service::Service<Uri> for Connector {
    type Response = Wire;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let endpoint = self.endpoint.clone();
        Box::pin(async move { connect(&endpoint).await })
    }
}

async fn connect(endpoint: &Endpoint) -> io::Result<Wire> {
    let duplex: Box<dyn Duplex> = match endpoint {
        Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Endpoint::Tcp(authority) => {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    };
    Ok(Wire(TokioIo::new(duplex)))
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// One connection, of either kind.
pub(super) struct Wire(TokioIo<Box<dyn Duplex>>);

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl rt::Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl rt::Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn the_version_is_put_before_the_path_once() {
        let uri = |path: &str, minor| {
            let request = Request::builder()
                .uri(format!("http://localhost{path}"))
                .body(())
                .unwrap();
            versioned(request, minor).uri().to_string()
        };
        assert_eq!(uri("/info?a=b", 41), "http://localhost/v1.41/info?a=b");
        assert_eq!(uri("/v1.41/info", 41), "http://localhost/v1.41/info");
        assert_eq!(uri("/_ping", 0), "http://localhost/_ping");
    }

    #[test]
    fn a_name_from_outside_stays_one_segment_of_the_path() {
        let path = |name: &str| Path::new("/containers").segment(name).then("/start").0;
        assert_eq!(path("web-1"), "/containers/web-1/start");
        for bad in ["../images/x?y#z", "..", "", "a/b", "a%2Fb", "ä"] {
            assert_eq!(path(bad), "/containers/%20/start", "{bad}");
        }
        assert_eq!(
            Path::new("/images")
                .image("a:5000/b@sha256:0")
                .then("/json")
                .0,
            "/images/a:5000/b@sha256:0/json"
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct Around(#[source] io::Error);

    #[test]
    fn a_socket_that_may_not_be_used_is_denied_however_deep_it_is_said() {
        let endpoint = Endpoint::Unix("/x".into());
        let system = || io::Error::from(io::ErrorKind::PermissionDenied);
        let denied = EngineError::Denied {
            endpoint: "unix:///x".to_owned(),
        };
        assert_eq!(lost(&endpoint, &system()), denied);
        assert_eq!(lost(&endpoint, &Around(system())), denied);
    }

    /// An engine that is polite once, then gives this answer; it closes after each.
    async fn engine(answer: &'static str) -> (tempfile::TempDir, Client) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            const PING: &str =
                "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK";
            for answer in [PING, answer] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 4096];
                assert_ne!(stream.read(&mut asked).await.unwrap(), 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let client = Client::connect(&Endpoint::Unix(path)).await.unwrap();
        (folder, client)
    }

    async fn answer(answer: &'static str) -> Result<Vec<u8>, EngineError> {
        let (_folder, client) = engine(answer).await;
        client.get(&Path::new("/x")).await
    }

    #[tokio::test]
    async fn a_connection_that_the_engine_closed_is_not_used_again() {
        let good = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[7]";
        assert_eq!(answer(good).await, Ok(vec![7]));
    }

    #[tokio::test]
    async fn half_an_answer_is_none() {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[7]";
        let error = answer(half).await.unwrap_err();
        assert!(
            matches!(error, EngineError::Unreachable { .. }),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn nonsense_and_refusals_are_told_in_words() {
        let nonsense = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>";
        let error = answer(nonsense).await.unwrap_err();
        assert!(
            matches!(error, EngineError::Refused { status: 0, .. }),
            "{error:?}"
        );
        let broken = "HTTP/1.1 500 No\r\nContent-Length: 17\r\n\r\n{\"message\":\"why\"}";
        let refused = EngineError::Refused {
            status: 500,
            message: "why".to_owned(),
        };
        assert_eq!(answer(broken).await, Err(refused));
    }

    #[tokio::test]
    async fn what_is_no_engine_is_unreachable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let page = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
            stream.write_all(page.as_bytes()).await.unwrap();
        });
        let error = Client::connect(&Endpoint::Unix(path)).await.err().unwrap();
        assert!(error.to_string().contains("no container engine"), "{error}");
    }

    #[tokio::test]
    async fn an_absent_socket_is_unreachable() {
        let error = Client::connect(&Endpoint::Unix("/nowhere/docker.sock".into()))
            .await
            .err()
            .unwrap();
        assert!(
            matches!(&error, EngineError::Unreachable { endpoint, cause }
                if endpoint == "unix:///nowhere/docker.sock" && cause.contains("No such file")),
            "{error:?}"
        );
    }
}
