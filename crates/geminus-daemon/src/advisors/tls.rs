//! TLS without trust: whether a certificate is good for clients is theirs to say, when it expires is told.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use geminus_advisor::expires_in;
use geminus_core::health::{Fault, FaultKind, Good};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, SignatureScheme, WantsVerifier,
};

use super::words::{fault, of_socket, own};

/// What handshakes are made with.
#[derive(Debug)]
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
}

/// What was shown in a handshake.
#[derive(Debug)]
pub(super) struct Shown {
    /// Seconds until it expires.
    expires_in: Result<i64, Fault>,
}

impl Shown {
    /// What there is to say of a server that showed it and is well.
    pub(super) fn good(self) -> Result<Good, Fault> {
        Ok(Good { certificate: Some(self.expires_in?) })
    }
}

impl Tls {
    pub(super) fn new() -> Self {
        Self { provider: Arc::new(ring::default_provider()) }
    }

    /// Shakes hands. Each time as for the first time, so that the certificate is shown.
    pub(super) async fn shake_hands(
        &self,
        stream: TcpStream,
        name: Option<&str>,
        by: IpAddr,
        alpn: &[&[u8]],
    ) -> Result<(TlsStream<TcpStream>, Shown), Fault> {
        let name = match name {
            Some(name) => ServerName::try_from(name.to_owned())
                .map_err(|_| own(format!("{name} cannot be asked for in TLS: it is no DNS name")))?,
            // Of an address nothing is asked for (RFC 6066 section 3).
            None => ServerName::IpAddress(by.into()),
        };
        let mut config = self.config().map_err(own)?;
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.resumption = Resumption::disabled();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.map_err(|error| refused(&error))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let expires_in = match shown {
            Some(certificate) => expires_in(certificate, now()),
            None => Err(fault(FaultKind::Tls, "expected a certificate, got none")),
        };
        Ok((stream, Shown { expires_in }))
    }

    fn config(&self) -> Result<ClientConfig, Error> {
        let builder: ConfigBuilder<ClientConfig, WantsVerifier> =
            ClientConfig::builder_with_provider(Arc::clone(&self.provider))
                .with_safe_default_protocol_versions()?;
        let anybody = Arc::new(Anybody(Arc::clone(&self.provider)));
        Ok(builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth())
    }
}

fn refused(error: &io::Error) -> Fault {
    const WHAT: &str = "a TLS handshake";
    if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::UnexpectedEof {
        let Fault { kind, words } = of_socket(error, WHAT);
        let kind = if kind == FaultKind::Own { kind } else { FaultKind::Tls };
        return Fault { kind, words };
    }
    fault(FaultKind::Tls, format!("expected {WHAT}, got what is none: {error}"))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Takes everybody for who they say they are.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
