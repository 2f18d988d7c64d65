//! `wrk`: as many requests as the machine can carry, for a few seconds.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::namespace::Namespace;

/// What `wrk` measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    /// Requests answered.
    pub requests: u64,
    /// Requests a second.
    pub per_second: f64,
    /// Connect, read, write and timeout errors, and answers that are not 2xx or 3xx.
    pub errors: u64,
}

/// Runs `wrk` with one thread and `connections` keep-alive connections.
///
/// # Errors
/// When `wrk` is missing, fails or prints something else than expected.
pub fn measure(
    from: &Namespace,
    to: SocketAddr,
    path: &str,
    connections: u32,
    time: Duration,
) -> Result<Rate> {
    let seconds = format!("-d{}s", time.as_secs().max(1));
    let connections = format!("-c{connections}");
    let output = from.run("wrk", &["-t1", &connections, &seconds, &format!("http://{to}{path}")])?;
    parse(&output).with_context(|| format!("wrk printed something unknown: {output}"))
}

fn parse(output: &str) -> Result<Rate> {
    let mut rate = Rate::default();
    for line in output.lines().map(str::trim) {
        if let Some((count, _)) = line.split_once(" requests in ") {
            rate.requests = count.parse()?;
        } else if let Some(value) = line.strip_prefix("Requests/sec:") {
            rate.per_second = value.trim().parse()?;
        } else if let Some(errors) = line.strip_prefix("Socket errors:") {
            let counts = errors.split(',').filter_map(|part| part.split_whitespace().nth(1));
            rate.errors += counts.filter_map(|count| count.parse::<u64>().ok()).sum::<u64>();
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses:") {
            rate.errors += count.trim().parse::<u64>()?;
        }
    }
    if rate.per_second == 0.0 {
        bail!("no rate");
    }
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_counts() {
        let output = "Running 2s test @ http://198.51.100.80/\n  1 threads and 8 connections\n\
            \x20 31234 requests in 2.00s, 5.12MB read\n\
            \x20 Socket errors: connect 1, read 2, write 3, timeout 4\n\
            \x20 Non-2xx or 3xx responses: 5\nRequests/sec:  15617.00\nTransfer/sec:      2.56MB\n";
        let rate = parse(output).unwrap();
        assert_eq!((rate.requests, rate.errors), (31234, 15));
        assert!((rate.per_second - 15617.0).abs() < f64::EPSILON);
    }

    #[test]
    fn an_output_without_a_rate_is_refused() {
        assert!(parse("unable to connect").is_err());
    }
}
