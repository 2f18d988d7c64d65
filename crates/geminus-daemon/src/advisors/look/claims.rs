//! Who claims an address when asked for it: ARP and neighbour solicitation, to one host alone.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use geminus_core::director::frame::question;
use geminus_core::director::{Claim, Input};
use geminus_core::neighbour::Mac;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::advisors::bounds::CLAIM;
use crate::kernel::LinkSocket;

/// Somebody who waits for a claim.
struct Waiter {
    number: u64,
    address: IpAddr,
    mac: Mac,
    claimed: oneshot::Sender<()>,
}

/// The socket, and who waits.
#[derive(Default)]
pub(in crate::advisors) struct Claims {
    socket: RefCell<Option<Rc<LinkSocket>>>,
    waiting: Rc<RefCell<Vec<Waiter>>>,
    last: Cell<u64>,
}

/// Waits no more when it is dropped.
struct Turn<'a> {
    waiting: &'a RefCell<Vec<Waiter>>,
    number: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.waiting.borrow_mut().retain(|waiter| waiter.number != self.number);
    }
}

impl Claims {
    /// Whether the host with this hardware address claims `address`, asked so many times by `interface`, from `source`.
    pub(super) async fn ask(
        &self,
        interface: u32,
        [own, theirs]: [Mac; 2],
        source: IpAddr,
        address: IpAddr,
        times: u32,
    ) -> bool {
        let Ok(socket) = self.socket() else { return false };
        let Some(question) = question(source, own, address, Some(theirs)) else { return false };
        let (claimed, mut claim) = oneshot::channel();
        let number = self.last.get().wrapping_add(1);
        self.last.set(number);
        self.waiting.borrow_mut().push(Waiter { number, address, mac: theirs, claimed });
        let _turn = Turn { waiting: &self.waiting, number };
        for _ in 0..times {
            socket.send(interface, &question);
            if let Ok(came) = timeout(CLAIM, &mut claim).await {
                return came.is_ok();
            }
        }
        false
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

/// Tells whoever waits for it.
fn answer(waiting: &mut Vec<Waiter>, claim: Claim) {
    let waits = |waiter: &mut Waiter| waiter.address == claim.address && waiter.mac == claim.mac;
    for waiter in waiting.extract_if(.., waits) {
        // It gave up just now.
        let _ = waiter.claimed.send(());
    }
}
