//! TLS without trust: whether a certificate is good for clients is theirs to say, when it expires is told.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use geminus_advisor::expires_in;
use geminus_core::health::{Fault, FaultKind, Good};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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

use super::bounds::UNSAID;
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
    ) -> Result<(Encrypted, Shown), Fault> {
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
        let measured = Measured { stream, unsaid: 0 };
        let stream = connector.connect(name, measured).await.map_err(|error| refused(&error))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let expires_in = match shown {
            Some(certificate) => expires_in(certificate, now()),
            None => Err(fault(FaultKind::Tls, "expected a certificate, got none")),
        };
        Ok((Encrypted(stream), Shown { expires_in }))
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
    let is_too_much = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<TooMuch>);
    if is_too_much || error.raw_os_error().is_some() || error.kind() == io::ErrorKind::UnexpectedEof {
        let Fault { kind, words } = of_socket(error, WHAT);
        let kind = if kind == FaultKind::Own { kind } else { FaultKind::Tls };
        return Fault { kind, words };
    }
    fault(FaultKind::Tls, format!("expected {WHAT}, got what is none: {error}"))
}

/// A connection after the handshake, as conversations have it.
pub(super) struct Encrypted(TlsStream<Measured>);

/// Below TLS: how much came since something of it was for whoever talks.
struct Measured {
    stream: TcpStream,
    unsaid: usize,
}

/// A server said more than [`UNSAID`] bytes of TLS, and nothing by it.
#[derive(Debug, thiserror::Error)]
#[error("more than {} KiB of TLS before anything was said by it", UNSAID / 1_024)]
pub(super) struct TooMuch;

impl AsyncRead for Measured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unsaid > UNSAID {
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.unsaid += buf.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.0.get_mut().0.unsaid = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Measured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
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
