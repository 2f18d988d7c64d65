//! Whether an interface's driver runs XDP programs itself: the `netdev` family of generic netlink says so since Linux 6.3
//! (`Documentation/netlink/specs/netdev.yaml`).

use std::io;

use netlink_packet_core::NlasIterator;
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};

/// Length of a netlink and of a generic netlink header.
const HEADER: usize = 16;
const GENERIC_HEADER: usize = 4;
/// `NLM_F_REQUEST`: one answer, or an error.
const REQUEST: u16 = 1;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// The family that knows the others: `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY`, `CTRL_ATTR_FAMILY_ID`, `…_NAME`.
const CONTROL: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `NETDEV_CMD_DEV_GET`, `NETDEV_A_DEV_IFINDEX`, `NETDEV_A_DEV_XDP_FEATURES`.
const GET_DEVICE: u8 = 1;
const INDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_BASIC`: abort, drop, pass and transmit in the driver.
const BASIC: u64 = 1;

/// Whether the driver of the interface runs XDP programs itself; none where the kernel cannot tell.
pub(crate) fn native(index: u32) -> io::Result<Option<bool>> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let answer = ask(&socket, &message(CONTROL, GET_FAMILY, FAMILY_NAME, b"netdev\0"))?;
    let Some(family) = answer.as_deref().and_then(|answer| attribute(answer, FAMILY_ID)) else {
        return Ok(None);
    };
    let Ok(family) = <[u8; 2]>::try_from(family.as_slice()) else { return Ok(None) };
    let question = message(u16::from_ne_bytes(family), GET_DEVICE, INDEX, &index.to_ne_bytes());
    let answer = ask(&socket, &question)?;
    let features = answer.as_deref().and_then(|answer| attribute(answer, XDP_FEATURES));
    let features = features.and_then(|bytes| <[u8; 8]>::try_from(bytes.as_slice()).ok());
    Ok(features.map(|bytes| u64::from_ne_bytes(bytes) & BASIC != 0))
}

/// A request with one attribute, in the machine's byte order.
fn message(family: u16, command: u8, kind: u16, value: &[u8]) -> Vec<u8> {
    let attribute = 4 + value.len();
    let length = HEADER + GENERIC_HEADER + attribute.next_multiple_of(4);
    let mut bytes = Vec::with_capacity(length);
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(family.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    // Sequence number and port: one socket, one question at a time.
    bytes.extend([0; 8]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend((attribute as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length, 0);
    bytes
}

/// The attributes of the answer; none where the kernel does not know the family or the command.
fn ask(socket: &Socket, question: &[u8]) -> io::Result<Option<Vec<u8>>> {
    socket.send(question, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    match kind {
        None | Some(ERROR) => Ok(None),
        Some(_) => Ok(answer.get(HEADER + GENERIC_HEADER..).map(<[u8]>::to_vec)),
    }
}

fn attribute(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    let found = NlasIterator::new(attributes).filter_map(Result::ok).find(|one| one.kind() == kind)?;
    Some(found.value().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_aligned_and_says_its_length() {
        let bytes = message(CONTROL, GET_FAMILY, FAMILY_NAME, b"netdev\0");
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[..4], 32u32.to_ne_bytes());
        assert_eq!(bytes[20..24], [11u16.to_ne_bytes(), 2u16.to_ne_bytes()].concat());
        assert_eq!(attribute(&bytes[20..], FAMILY_NAME), Some(b"netdev\0".to_vec()));
        assert_eq!(attribute(&bytes[20..], FAMILY_ID), None);
    }

    #[test]
    fn an_interface_that_does_not_exist_has_no_ability() {
        assert_eq!(native(u32::MAX / 2).expect("a socket needs no privilege"), None);
    }
}
