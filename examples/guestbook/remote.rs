//! Asking another part.

use std::{error::Error, fmt, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header::CONTENT_TYPE};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

/// Another part, by the name it has in `cosmos.toml`.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Why another part did not do as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("{base} does not answer: {cause}")]
    Silent { base: String, cause: String },
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
}

/// The parts are neighbours: what takes longer is not coming.
const PATIENCE: Duration = Duration::from_secs(3);

/// The whole book, if it is a long one.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

impl Remote {
    pub(crate) fn new(base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RemoteError> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RemoteError> {
        let body = serde_json::to_vec(body).map_err(|cause| self.silent(&cause))?;
        self.ask(method, path, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, RemoteError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|cause| self.silent(&cause))?;
        let asking = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|cause| self.silent(&root(&cause)))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST_ANSWER)
                .collect()
                .await;
            let body = body.map_err(|cause| self.silent(&cause))?.to_bytes();
            if status.is_success() {
                return serde_json::from_slice(&body).map_err(|cause| self.silent(&cause));
            }
            Err(RemoteError::Refused {
                status,
                message: String::from_utf8_lossy(&body).into_owned(),
            })
        };
        timeout(PATIENCE, asking)
            .await
            .map_err(|_| self.silent(&"no answer in 3 s"))?
    }

    fn silent(&self, cause: &dyn fmt::Display) -> RemoteError {
        RemoteError::Silent {
            base: self.base.clone(),
            cause: cause.to_string(),
        }
    }
}

/// The client's own words are "client error (Connect)": what is behind them helps.
fn root(failure: &dyn Error) -> String {
    let mut deepest = failure;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
