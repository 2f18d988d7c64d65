//! What the kernel says and is told, outside the data plane.

pub(crate) mod calls;
pub(crate) mod echo_socket;
mod link_socket;
mod netlink;
mod routes;
mod wall;

pub(crate) use calls::{give_memory_back, peer_groups};
pub(crate) use link_socket::LinkSocket;
pub(crate) use netlink::{Heard, Netlink};
pub(crate) use routes::Lookups;
pub(crate) use wall::{Wall, time_of_day};
