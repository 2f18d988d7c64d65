//! `geminus host undo`: restores what `setup` changed, newest first.

use std::io;

use geminus_api::Changed;

use crate::failure::{Exit, Failure};
use crate::host::args::UndoArgs;
use crate::host::record::{Deed, Record, namespace};
use crate::host::seen::{LOOPBACK, Network};
use crate::host::setup::open;
use crate::netlink::{Netlink, width};
use crate::screen::Look;
use crate::verbs::change::render;
use crate::verbs::{json_text, print};

/// Restores everything it can; what fails stays in the record.
pub(crate) fn run(args: &UndoArgs, look: Look) -> Result<Exit, Failure> {
    let path = &args.record.state;
    let mut changes = Vec::new();
    if let Some(mut record) = Record::load(path, namespace()?)? {
        let mut netlink = open()?;
        let mut failed = Vec::new();
        for deed in std::mem::take(&mut record.deeds).into_iter().rev() {
            match undo(&deed, &mut netlink) {
                Ok(line) => changes.push(line),
                Err(why) => {
                    failed.push(why);
                    record.deeds.insert(0, deed);
                }
            }
        }
        record.save(path)?;
        if !failed.is_empty() {
            let failure = Failure::no("not everything could be restored").hint("run it again as root");
            return Err(failure.details(failed));
        }
    }
    let changed = Changed { changes };
    print(&if args.record.json { json_text(&changed) } else { render(&changed, look) })
}

fn undo(deed: &Deed, netlink: &mut Netlink) -> Result<String, String> {
    match deed {
        Deed::Set { setting, from, to } => {
            let now = setting.read().map_err(|error| format!("cannot read {setting}: {error}"))?;
            match restore(now.as_deref(), from, to) {
                Restore::Write => {
                    setting
                        .write(from)
                        .map_err(|error| format!("cannot set {setting} to {from}: {error}"))?;
                    Ok(format!("set {setting} back to {from}"))
                }
                Restore::Leave(why) => Ok(format!("left {setting}: {why}")),
            }
        }
        Deed::RaisedLoopback => {
            let restored = loopback(netlink).and_then(|index| netlink.set_up(index, false));
            restored
                .map(|()| "switched lo off".to_owned())
                .map_err(|error| format!("cannot switch lo off: {error}"))
        }
        Deed::Added { address } => {
            let bits = width(*address);
            match loopback(netlink).and_then(|index| netlink.remove_address(index, *address)) {
                Ok(()) => Ok(format!("removed {address}/{bits} from lo")),
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    Ok(format!("left {address}: it is not on lo any more"))
                }
                Err(error) => Err(format!("cannot remove {address} from lo: {error}")),
            }
        }
    }
}

fn loopback(netlink: &mut Netlink) -> io::Result<u32> {
    let network = Network { links: netlink.links()?, addresses: Vec::new(), outward: (None, None) };
    network.link(LOOPBACK).map(|link| link.index).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// What to do with a setting.
#[derive(Debug, PartialEq, Eq)]
enum Restore {
    Write,
    Leave(String),
}

/// Only what still has our value is ours to restore.
fn restore(now: Option<&str>, from: &str, to: &str) -> Restore {
    match now {
        None => Restore::Leave("it does not exist any more".to_owned()),
        Some(now) if now == from => Restore::Leave(format!("it is {from} already")),
        Some(now) if now == to => Restore::Write,
        Some(now) => Restore::Leave(format!("somebody else set it to {now}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_still_has_our_value_is_restored() {
        assert_eq!(restore(Some("1"), "0", "1"), Restore::Write);
        for now in [None, Some("0"), Some("2")] {
            assert!(matches!(restore(now, "0", "1"), Restore::Leave(_)), "{now:?}");
        }
    }
}
