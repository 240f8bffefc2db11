//! Speaks TLS to `https://` upstreams, and says what is wrong with one that
//! cannot be trusted.
//!
//! Who vouches for servers is compiled in, since the proxy's image holds no file
//! but the binary. A route's own `ca` is trusted beside that, by that route only.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use hyper::StatusCode;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, CertificateError, ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::answer::Explanation;

/// Why there is no TLS connection over a connection that was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// Nobody who is trusted vouches for it.
    #[error("nobody who is trusted has signed its certificate")]
    Untrusted,
    /// It shows the certificate of an authority as its own.
    #[error("its certificate is that of an authority, not of a server")]
    NotAServers,
    /// The certificate is somebody else's.
    #[error("its certificate is not for this name, but for {}", named(.0))]
    WrongName(Vec<String>),
    /// The certificate was valid once.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate will be valid one day.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// It is wrong in another way.
    #[error("its certificate is not accepted: {0}")]
    Certificate(String),
    /// It answers with something else.
    #[error("it does not speak TLS")]
    NotTls,
    /// The `ca` cannot be used.
    #[error("the route's `ca` holds no usable certificate")]
    Authority,
    /// Anything else.
    #[error("TLS failed: {0}")]
    Other(String),
}

fn named(names: &[String]) -> String {
    match names {
        [] => "no name at all".to_owned(),
        names => names.join(", "),
    }
}

impl TlsError {
    fn of(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(rustls::Error::InvalidCertificate(error)) => Self::of_certificate(error),
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls,
            Some(other) => Self::Other(other.to_string()),
            None => Self::Other(error.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::Untrusted,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName => Self::WrongName(Vec::new()),
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::WrongName(presented.iter().map(|name| plain(name)).collect())
            }
            // The verifier's own words for it, which it gives no type to.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                Self::NotAServers
            }
            other => Self::Certificate(other.to_string()),
        }
    }

    /// What a client is told.
    pub(super) fn explanation(&self, upstream: &str) -> Explanation {
        const CA: &str = "if it should be trusted, name the certificate of whoever signed it: \
                          `ca = \"./ca.pem\"` beside the route's `upstream`";
        const MAKE: &str = "make the server a certificate of its own, signed by that authority, \
                            and give the route `ca` the authority's";
        let (code, hint) = match self {
            Self::Untrusted => ("certificate_untrusted", CA),
            Self::NotAServers => ("certificate_untrusted", MAKE),
            Self::WrongName(_) => (
                "certificate_wrong_name",
                "write one of the names that it is for into the route's `upstream`, or give the \
                 server a certificate for this one",
            ),
            Self::Expired => (
                "certificate_expired",
                "the server needs a new one; if it has one, this machine's clock is wrong",
            ),
            Self::NotYetValid => (
                "certificate_expired",
                "this machine's clock is slow, or the certificate was made with one that is fast",
            ),
            Self::Certificate(_) => (
                "certificate_refused",
                "`openssl s_client -connect` shows what the server sends",
            ),
            Self::NotTls => (
                "tls_failed",
                "write the route's `upstream` with http://, or with the port that https is on",
            ),
            Self::Authority => (
                "tls_failed",
                "name a file with certificates in PEM: -----BEGIN CERTIFICATE-----",
            ),
            Self::Other(_) => (
                "tls_failed",
                "check the route's `upstream`: is https spoken on that port?",
            ),
        };
        let message = format!("`{upstream}` cannot be reached over https: {self}");
        Explanation::new(StatusCode::BAD_GATEWAY, code, message, hint)
    }
}

/// `DnsName("a.test")` is how the verifier writes a name.
fn plain(presented: &str) -> String {
    presented.split('"').nth(1).unwrap_or(presented).to_owned()
}

/// Our side of TLS with one upstream, made when it is first needed.
#[derive(Default)]
pub(super) struct Client(OnceLock<TlsConnector>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client(..)")
    }
}

impl Client {
    /// Shakes hands, and returns only if the server is who it should be.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
        ca: Option<&str>,
    ) -> Result<TlsStream<TcpStream>, TlsError> {
        let connector = match self.0.get() {
            Some(connector) => connector,
            None => {
                let made = TlsConnector::from(Arc::new(config(ca)?));
                self.0.get_or_init(|| made)
            }
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TlsError::Other(format!("`{host}` is no name of a server")))?;
        let connected = connector.connect(name, stream).await;
        connected.map_err(|error| TlsError::of(&error))
    }
}

fn config(ca: Option<&str>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(ca) = ca {
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            let certificate = certificate.map_err(|_| TlsError::Authority)?;
            roots.add(certificate).map_err(|_| TlsError::Authority)?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Other(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_as_they_are_written() {
        let error = TlsError::WrongName(vec![plain("DnsName(\"a.test\")"), plain("b.test")]);
        assert_eq!(
            error.to_string(),
            "its certificate is not for this name, but for a.test, b.test"
        );
    }

    #[test]
    fn an_authority_that_is_none_is_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(config(Some(broken)), Err(TlsError::Authority)));
        assert!(config(None).is_ok());
    }
}
