//! Who may give orders.

use std::io;
use std::os::fd::AsFd;

use tokio::net::UnixStream;

use crate::kernel::peer_groups;

/// Who is at the other end.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let groups = peer_groups(stream.as_fd()).unwrap_or_default();
        Ok(Self { uid: credentials.uid(), gid: credentials.gid(), groups })
    }

    /// Root, the daemon's own user, and the group that owns the socket. The socket's mode says the same; it is asked
    /// twice because a mode is changed easily.
    pub(super) fn may_order(&self, own_uid: u32, socket_gid: u32) -> bool {
        let of_group = self.gid == socket_gid || self.groups.contains(&socket_gid);
        self.uid == 0 || self.uid == own_uid || of_group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_daemons_user_and_the_sockets_group_may_order_and_nobody_else() {
        let peer = |uid, gid, groups: &[u32]| Peer { uid, gid, groups: groups.to_vec() };
        for friend in
            [peer(0, 0, &[]), peer(900, 1000, &[]), peer(1000, 800, &[]), peer(1000, 1000, &[4, 800])]
        {
            assert!(friend.may_order(900, 800), "{friend:?}");
        }
        for stranger in [peer(1000, 1000, &[]), peer(1000, 1000, &[4, 24])] {
            assert!(!stranger.may_order(900, 800), "{stranger:?}");
        }
    }
}
