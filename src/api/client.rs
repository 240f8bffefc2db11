//! The CLI's end of the wire.
//!
//! A stream holds its connection for as long as it lasts. One whose answer was read
//! whole is kept for the next question: who listens there has shown who it is.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::TcpStream;

use super::wire::{BUILD_HEADER, ErrorBody, Event, ImageBuild, PREFIX, Problem};
use crate::{
    reconcile::engine::LogChunk,
    workspace::{
        fingerprint::hex,
        proof::{CHALLENGE, PROOF, proof},
    },
};

/// A server that answers, and what it wants to see first.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    token: String,
    kept: Arc<Mutex<Option<Kept>>>,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or it went away in the middle.
    #[error("the proxy at {address} does not answer")]
    Unreachable {
        /// Where it was looked for.
        address: SocketAddr,
        /// The system's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered no.
    #[error("{}", .problem.message)]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What is wrong.
        problem: Problem,
    },
    /// It answered something that is not of this API: no proxy of ours.
    #[error("what listens at {address} does not show that it is this Cosmos proxy")]
    Stranger {
        /// Where.
        address: SocketAddr,
    },
}

/// A connection that was asked last is in use for so long: far less than its other end waits
/// for the next question.
const IN_USE: Duration = Duration::from_secs(2);

/// A connection, and when it had its last answer.
type Kept = (Sender, Instant);
type Sender = hyper::client::conn::http1::SendRequest<RequestBody>;
/// A yes, and the connection it came on.
struct Answer {
    response: Response<Incoming>,
    sender: Sender,
}

type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

impl Client {
    /// A client of the server at an address, with the token it asks for.
    pub fn new(address: SocketAddr, token: String) -> Self {
        Self {
            address,
            token,
            kept: Arc::default(),
        }
    }

    /// Where the server is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks and reads the answer whole.
    ///
    /// # Errors
    /// If it cannot be reached or says no.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path).await
    }

    /// Sends JSON and reads the answer whole.
    ///
    /// # Errors
    /// If it cannot be reached or says no.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.whole(self.send(Method::POST, path, json(body)).await?)
            .await
    }

    /// Asks without a body, with any method, and reads the answer whole.
    ///
    /// # Errors
    /// If it cannot be reached or says no.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<T, ClientError> {
        self.whole(self.send(method, path, empty()).await?).await
    }

    /// Sends JSON and follows the events that answer.
    ///
    /// # Errors
    /// If it cannot be reached or says no.
    pub async fn events<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<impl Stream<Item = Result<Event, ClientError>> + use<B>, ClientError> {
        let body = body.map_or_else(empty, |body| json(body));
        let answer = self.send(method, path, body).await?;
        Ok(self.event_lines(answer.response))
    }

    /// Sends the context of a build as it comes and follows the events that answer.
    ///
    /// # Errors
    /// If it cannot be reached or says no.
    pub async fn build<C: Stream<Item = io::Result<Bytes>> + Send + 'static>(
        &self,
        build: &ImageBuild,
        context: C,
    ) -> Result<impl Stream<Item = Result<Event, ClientError>> + use<C>, ClientError> {
        let body = StreamBody::new(context.map(|chunk| chunk.map(Frame::data))).boxed_unsync();
        // Our types have string keys only, which is all that can fail here.
        let build = STANDARD.encode(serde_json::to_vec(build).unwrap_or_default());
        let header = (BUILD_HEADER, build.as_str());
        let answer = self
            .send_with(Method::PUT, "/images", Some(header), body)
            .await?;
        Ok(self.event_lines(answer.response))
    }

    /// Takes a body of bytes as it comes.
    ///
    /// # Errors
    /// If it cannot be reached or says no.
    pub async fn download(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + use<>, ClientError> {
        let answer = self.send(Method::GET, path, empty()).await?;
        let client = self.clone();
        let parts = answer.response.into_body().into_data_stream();
        Ok(parts.map(move |part| part.map_err(|error| client.unreachable(error))))
    }

    /// Sends files for a service as they come, and reads the answer whole.
    ///
    /// # Errors
    /// If it cannot be reached or says no.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        tar: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<T, ClientError> {
        let body = StreamBody::new(tar.map(|chunk| chunk.map(Frame::data))).boxed_unsync();
        self.whole(self.send(Method::PUT, path, body).await?).await
    }

    /// Follows the output of a container.
    ///
    /// # Errors
    /// If it cannot be reached or says no.
    pub async fn frames(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<LogChunk, ClientError>> + use<>, ClientError> {
        let answer = self.send(Method::GET, path, empty()).await?;
        Ok(self.split(answer.response, take_frame))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: RequestBody,
    ) -> Result<Answer, ClientError> {
        self.send_with(method, path, None, body).await
    }

    async fn send_with(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
        body: RequestBody,
    ) -> Result<Answer, ClientError> {
        let mut request = self.request(&method, path, header, body)?;
        if let Some(mut kept) = self.take_kept(&method)
            && kept.ready().await.is_ok()
        {
            request = match kept.try_send_request(request).await {
                Ok(response) => return self.answer(response, kept).await,
                // The kept connection has ended unseen. What was not sent is sent again, and
                // so is what only asks.
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => unsent,
                    None if method == Method::GET => {
                        self.request(&method, path, header, empty())?
                    }
                    None => return Err(self.unreachable(failed.into_error())),
                },
            };
        }
        let mut sender = self.connect().await?;
        self.is_proven(&mut sender).await?;
        let response = sender.send_request(request).await;
        self.answer(response.map_err(|error| self.unreachable(error))?, sender)
            .await
    }

    /// The kept connection. What does more than ask is given one only that is in use: on
    /// it nobody has given up listening.
    fn take_kept(&self, method: &Method) -> Option<Sender> {
        let (sender, since) = self.kept().take()?;
        let is_in_use = since.elapsed() < IN_USE;
        (is_in_use || *method == Method::GET).then_some(sender)
    }

    async fn connect(&self) -> Result<Sender, ClientError> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|error| self.unreachable(error))?;
        // Small requests must not wait for an acknowledgement.
        stream
            .set_nodelay(true)
            .map_err(|error| self.unreachable(error))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        header: Option<(&str, &str)>,
        body: RequestBody,
    ) -> Result<Request<RequestBody>, ClientError> {
        let mut request = Request::builder();
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        request
            .method(method)
            .uri(format!("{PREFIX}{path}"))
            .header(header::HOST, format!("localhost:{}", self.address.port()))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| self.unreachable(error))
    }

    /// The answer, unless it is no.
    async fn answer(
        &self,
        response: Response<Incoming>,
        sender: Sender,
    ) -> Result<Answer, ClientError> {
        let status = response.status();
        if status.is_success() {
            return Ok(Answer { response, sender });
        }
        let body = self.read(response).await?;
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => Err(ClientError::Refused {
                status,
                problem: body.error,
            }),
            Err(_) => Err(ClientError::Stranger {
                address: self.address,
            }),
        }
    }

    /// Makes sure, before it is sent the token, that whoever listens has it: see
    /// [`crate::workspace::proof`].
    async fn is_proven(&self, sender: &mut Sender) -> Result<(), ClientError> {
        let stranger = || ClientError::Stranger {
            address: self.address,
        };
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).map_err(|error| self.unreachable(error.to_string()))?;
        let challenge = hex(&random);
        let request = Request::builder()
            .uri(format!("{PREFIX}/version"))
            .header(header::HOST, format!("localhost:{}", self.address.port()))
            .header(CHALLENGE, &challenge)
            .body(empty())
            .map_err(|_| stranger())?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| self.unreachable(error))?;
        let shown = response.headers().get(PROOF).cloned();
        self.read(response).await?;
        let expected = proof(&self.token, &challenge, self.address.port());
        match (shown, expected) {
            (Some(shown), Some(expected)) if shown.as_bytes() == expected.as_bytes() => sender
                .ready()
                .await
                .map_err(|error| self.unreachable(error)),
            _ => Err(stranger()),
        }
    }

    async fn whole<T: DeserializeOwned>(&self, answer: Answer) -> Result<T, ClientError> {
        let body = self.read(answer.response).await?;
        *self.kept() = Some((answer.sender, Instant::now()));
        serde_json::from_slice(&body).map_err(|_| ClientError::Stranger {
            address: self.address,
        })
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = response.into_body().collect().await;
        Ok(body.map_err(|error| self.unreachable(error))?.to_bytes())
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        // Nothing panics while it is held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event_lines(
        &self,
        response: Response<Incoming>,
    ) -> impl Stream<Item = Result<Event, ClientError>> + use<> {
        self.json_lines(response)
    }

    fn json_lines<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
    ) -> impl Stream<Item = Result<T, ClientError>> + use<T> {
        let address = self.address;
        self.split(response, take_line).map(move |line| {
            serde_json::from_slice(&line?).map_err(|_| ClientError::Stranger { address })
        })
    }

    /// Cuts a body into parts as they become complete.
    fn split<T: Send + 'static>(
        &self,
        response: Response<Incoming>,
        take: fn(&mut BytesMut) -> Option<T>,
    ) -> impl Stream<Item = Result<T, ClientError>> + use<T> {
        let client = self.clone();
        stream::unfold(
            (response.into_body(), BytesMut::new()),
            move |(mut body, mut buffer)| {
                let client = client.clone();
                async move {
                    loop {
                        if let Some(part) = take(&mut buffer) {
                            return Some((Ok(part), (body, buffer)));
                        }
                        match body.frame().await? {
                            Ok(frame) => {
                                buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data))
                            }
                            Err(error) => {
                                return Some((Err(client.unreachable(error)), (body, buffer)));
                            }
                        }
                    }
                }
            },
        )
    }

    /// Follows lines of JSON.
    ///
    /// # Errors
    /// If it cannot be reached or says no.
    pub async fn lines<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<T, ClientError>> + use<T>, ClientError> {
        let answer = self.send(Method::GET, path, empty()).await?;
        Ok(self.json_lines(answer.response))
    }

    fn unreachable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        ClientError::Unreachable {
            address: self.address,
            source: source.into(),
        }
    }
}

/// Percent-encodes a value for a query or a path segment.
pub fn encoded(value: &str) -> String {
    use std::fmt::Write as _;
    value
        .bytes()
        .fold(String::with_capacity(value.len()), |mut text, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                // Writing to a `String` cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
            text
        })
}

fn empty() -> RequestBody {
    Full::default()
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn json(body: &impl Serialize) -> RequestBody {
    // Our types have string keys only, which is all that can fail here.
    let body = serde_json::to_vec(body).unwrap_or_default();
    Full::from(body)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn take_line(buffer: &mut BytesMut) -> Option<Bytes> {
    let end = buffer.iter().position(|byte| *byte == b'\n')?;
    Some(buffer.split_to(end + 1).freeze())
}

fn take_frame(buffer: &mut BytesMut) -> Option<LogChunk> {
    let mut head = buffer.get(..8)?;
    let stream = head.get_u32() >> 24;
    let length = head.get_u32() as usize;
    if buffer.len() < 8 + length {
        return None;
    }
    buffer.advance(8);
    let bytes = buffer.split_to(length).freeze();
    Some(if stream == 2 {
        LogChunk::Err(bytes)
    } else {
        LogChunk::Out(bytes)
    })
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::TcpListener,
    };

    use super::*;

    /// A server that shows who it is, and on each connection answers so many questions
    /// with the connection's number.
    async fn server(questions: usize) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for number in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, number, questions, address.port()));
            }
        });
        Client::new(address, "t".to_owned())
    }

    async fn answer(stream: TcpStream, number: u8, questions: usize, port: u16) {
        let mut stream = BufReader::new(stream);
        // One more: whoever comes first asks who we are.
        for _ in 0..=questions {
            let head = head(&mut stream).await;
            let answer = answered(&head, port, number);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    /// A number for an answer, with the proof if that was asked for.
    fn answered(head: &[String], port: u16, number: u8) -> String {
        let challenge = head
            .iter()
            .find_map(|line| line.strip_prefix("cosmos-challenge: "));
        let shown = challenge
            .and_then(|challenge| proof("t", challenge, port))
            .map(|proof| format!("{PROOF}: {proof}\r\n"))
            .unwrap_or_default();
        format!("HTTP/1.1 200 OK\r\n{shown}Content-Length: 1\r\n\r\n{number}")
    }

    async fn head(stream: &mut BufReader<TcpStream>) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            match line.trim_end() {
                "" => return lines,
                text => lines.push(text.to_owned()),
            }
        }
    }

    #[tokio::test]
    async fn what_is_asked_next_is_asked_on_the_same_connection() {
        let client = server(3).await;
        for _ in 0..3 {
            assert_eq!(client.get::<u8>("/x").await.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_ended_is_not_asked() {
        let client = server(1).await;
        assert_eq!(client.get::<u8>("/x").await.unwrap(), 1);
        assert_eq!(client.get::<u8>("/x").await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_changes_something_goes_on_the_connection_that_is_in_use() {
        let client = server(2).await;
        assert_eq!(client.get::<u8>("/x").await.unwrap(), 1);
        assert_eq!(client.call::<u8>(Method::DELETE, "/x").await.unwrap(), 1);
    }

    #[tokio::test]
    async fn what_changes_something_goes_on_no_connection_that_was_long_at_rest() {
        let client = server(2).await;
        assert_eq!(client.get::<u8>("/x").await.unwrap(), 1);
        let (sender, since) = client.kept().take().unwrap();
        *client.kept() = Some((sender, since.checked_sub(IN_USE).unwrap()));
        assert_eq!(client.call::<u8>(Method::DELETE, "/x").await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_changes_something_is_not_sent_again_once_it_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut asked = Vec::new();
            // The third is read, and the connection ends without an answer.
            for number in 0..3 {
                let head = head(&mut stream).await;
                asked.push(head[0].clone());
                if number < 2 {
                    let answer = answered(&head, address.port(), 1);
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
            (listener, asked)
        });
        let client = Client::new(address, "t".to_owned());
        assert_eq!(client.get::<u8>("/x").await.unwrap(), 1);
        let failed = client.call::<u8>(Method::DELETE, "/x").await;
        assert!(failed.is_err(), "{failed:?}");
        let (listener, asked) = served.await.unwrap();
        assert!(asked[2].starts_with("DELETE "), "{asked:?}");
        // Nobody came again with it.
        let again = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(again.is_err());
    }

    #[test]
    fn a_frame_is_taken_only_when_it_is_whole() {
        let whole = [2, 0, 0, 0, 0, 0, 0, 2, b'h', b'i'];
        for end in 0..whole.len() {
            assert_eq!(take_frame(&mut BytesMut::from(&whole[..end])), None);
        }
        let mut buffer = BytesMut::from(&whole[..]);
        assert_eq!(
            take_frame(&mut buffer),
            Some(LogChunk::Err(Bytes::from_static(b"hi")))
        );
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_a_query_cannot_hold_is_encoded() {
        assert_eq!(encoded("a b&c=ä"), "a%20b%26c%3D%C3%A4");
    }
}
