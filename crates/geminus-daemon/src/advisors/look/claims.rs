//! Who claims an address when asked for it: ARP and neighbour solicitation, to one host alone.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::rc::Rc;

use geminus_core::director::frame::question;
use geminus_core::director::{Claim, Input};
use geminus_core::neighbour::Mac;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout, timeout_at};

use crate::advisors::bounds::{CLAIM, CLAIM_QUESTIONS};
use crate::kernel::LinkSocket;

/// Somebody who waits for a claim.
struct Waiter {
    address: IpAddr,
    mac: Mac,
    claimed: oneshot::Sender<()>,
}

/// The socket, and who waits.
#[derive(Default)]
pub(in crate::advisors) struct Claims {
    socket: RefCell<Option<Rc<LinkSocket>>>,
    waiting: Rc<RefCell<Vec<Waiter>>>,
}

impl Claims {
    /// Whether the host with this hardware address claims `address`, asked a few times by `interface`.
    pub(super) async fn ask(
        &self,
        interface: u32,
        own: Mac,
        theirs: Mac,
        server: IpAddr,
        address: IpAddr,
    ) -> bool {
        let (Ok(socket), Some(source)) = (self.socket(), source_to(server)) else { return false };
        let Some(question) = question(source, own, address, Some(theirs)) else { return false };
        let (claimed, mut claim) = oneshot::channel();
        self.waiting.borrow_mut().push(Waiter { address, mac: theirs, claimed });
        let until = Instant::now() + CLAIM;
        for _ in 0..CLAIM_QUESTIONS {
            socket.send(interface, &question);
            match timeout(CLAIM / CLAIM_QUESTIONS, &mut claim).await {
                Ok(came) => return came.is_ok(),
                Err(_) => continue,
            }
        }
        timeout_at(until, claim).await.is_ok_and(|came| came.is_ok())
    }

    fn socket(&self) -> io::Result<Rc<LinkSocket>> {
        let mut place = self.socket.borrow_mut();
        if let Some(socket) = &*place {
            return Ok(Rc::clone(socket));
        }
        let socket = Rc::new(LinkSocket::open()?);
        drop(spawn_local(hear(Rc::clone(&socket), Rc::clone(&self.waiting))));
        *place = Some(Rc::clone(&socket));
        Ok(socket)
    }
}

async fn hear(socket: Rc<LinkSocket>, waiting: Rc<RefCell<Vec<Waiter>>>) {
    loop {
        socket.readable().await;
        for input in socket.heard() {
            let Input::Claim { claim, .. } = input else { continue };
            answer(&mut waiting.borrow_mut(), claim);
        }
        tokio::task::yield_now().await;
    }
}

/// Tells whoever waits for it, and forgets who waits no more.
fn answer(waiting: &mut Vec<Waiter>, claim: Claim) {
    let all = std::mem::take(waiting);
    for waiter in all.into_iter().filter(|waiter| !waiter.claimed.is_closed()) {
        if waiter.address == claim.address && waiter.mac == claim.mac {
            // It gave up just now.
            let _ = waiter.claimed.send(());
        } else {
            waiting.push(waiter);
        }
    }
}

/// The address that this machine talks to a server from.
fn source_to(server: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Nothing is sent: the kernel only chooses.
    socket.connect((server, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
