//! Prefixes of client addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::finding::Quoted;
use super::scalar::{Refusal, refuse};
use crate::model::Prefix;

/// What a JSON Schema can say of one.
pub(super) const PATTERN: &str = "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$";

/// Reads `203.0.113.0/24` or a single address.
pub(super) fn read(text: &str) -> Result<Prefix, Refusal> {
    let bad = |hint: String| refuse(format!("{} is no prefix", Quoted(text)), hint);
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(bad("such as \"203.0.113.0/24\" or \"2001:db8:c::/48\"".to_string()));
    };
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(bad(format!("an IPv4 client has its IPv4 address: such as \"{v4}\"")));
    }
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) => {
            let digits =
                !bits.is_empty() && bits.len() <= 3 && bits.bytes().all(|byte| byte.is_ascii_digit());
            let bits = digits.then(|| bits.parse::<u16>().ok()).flatten();
            let bits = bits.and_then(|bits| u8::try_from(bits).ok()).filter(|bits| *bits <= most);
            bits.ok_or_else(|| bad(format!("0 to {most} bits: such as \"{address}/{most}\"")))?
        }
    };
    let first = masked(address, bits);
    if first != address {
        let message = format!("{} has bits behind its first {bits}", Quoted(text));
        return Err(refuse(message, format!("\"{first}/{bits}\", or \"{address}\" for the one address")));
    }
    Ok(Prefix { address, bits })
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from(v6.to_bits() & mask).into()
        }
    }
}
