//! An answer that goes on, on a connection of its own.
//!
//! An engine sends each line of a log as a chunk of its own. Where one task reads the
//! connection and another one the body, each chunk wakes the other, which costs ten
//! times what the line does. So whoever reads this body also reads its connection.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{
    Stream,
    future::{Either, select},
};
use hyper::{
    Request, Response,
    body::{Body as _, Incoming},
    client::conn::http1::{self, Connection},
};

use super::client::{Body, Wire};

/// The data of a body that goes on, as it comes.
pub(super) struct Opened {
    body: Incoming,
    /// None once it has ended.
    connection: Option<Connection<Wire, Body>>,
}

impl Opened {
    /// Sends a request on a fresh connection; the head of the answer, and its body.
    ///
    /// # Errors
    /// If the connection ends before there is an answer.
    pub(super) async fn new(
        wire: Wire,
        request: Request<Body>,
    ) -> Result<(Response<()>, Self), hyper::Error> {
        let (mut sender, mut connection) = http1::handshake(wire).await?;
        let answer = Box::pin(sender.send_request(request));
        let (response, is_over) = match select(answer, &mut connection).await {
            Either::Left((response, _)) => (response?, false),
            Either::Right((_, answer)) => (answer.await?, true),
        };
        let (head, body) = response.into_parts();
        let opened = Self {
            body,
            connection: (!is_over).then_some(connection),
        };
        Ok((Response::from_parts(head, ()), opened))
    }
}

impl Stream for Opened {
    type Item = Result<Bytes, hyper::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { body, connection } = self.get_mut();
        let mut is_read = false;
        loop {
            match Pin::new(&mut *body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    // Trailers.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if is_read => return Poll::Pending,
                Poll::Pending => {}
            }
            // What it reads now, the body has then.
            match connection.as_mut().map(|it| Pin::new(it).poll(context)) {
                Some(Poll::Ready(_)) => *connection = None,
                Some(Poll::Pending) | None => {}
            }
            is_read = true;
        }
    }
}
