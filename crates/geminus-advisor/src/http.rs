//! HTTP: what is asked, and what of an answer has to be read until it is known whether it is as expected.
//!
//! RFC 9110 (semantics), RFC 9112 (HTTP/1.1). Nothing is asked for a second time and no connection is kept.

mod body;
mod exchange;
mod judge;
mod request;

pub use self::exchange::Exchange;
pub use self::judge::Judge;
pub use self::request::{Request, server_name};

#[cfg(test)]
mod tests {
    use geminus_core::model::Http;

    /// What is asked where nothing is configured.
    pub(super) fn check() -> Http {
        Http {
            tls: false,
            h2: false,
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: None,
            headers: Vec::new(),
            expect: vec![(200, 399)],
            body: None,
        }
    }
}
