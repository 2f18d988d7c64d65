//! When a certificate expires.

use geminus_core::health::{Fault, FaultKind};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::words::told;

/// Seconds until the certificate `der` expires, negative if it has, at the time `now` in seconds since 1970. Nothing else of
/// it is looked at: whether it is trusted is the clients' affair.
///
/// # Errors
/// [`FaultKind::Tls`]: it cannot be read.
pub fn expires_in(der: &[u8], now: i64) -> Result<i64, Fault> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate.validity().not_after.timestamp().saturating_sub(now)),
        Err(error) => Err(told(FaultKind::Tls, "a certificate", &format!("what cannot be read ({error})"))),
    }
}
