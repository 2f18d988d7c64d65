//! The data plane as the daemon uses it: opened, applied and attached in the order that loses nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use geminus_core::director::Interface;
use geminus_core::key::{HaKeys, SiteKey};
use geminus_core::model::{Node, Site};
use geminus_core::neighbour::Mac;
use geminus_core::plan::{Link, Overrides, Rulings};
use geminus_dataplane::program::ProgramFailure;
use geminus_dataplane::{DataPlane, Mode, OpenError, OpenOptions, Wish};

use crate::error::RunError;
use crate::options::{RunOptions, XdpMode};

/// While tables are written nobody renews the lease; it is made at least so long before. The largest site takes 5 s.
const APPLY_LEASE: Duration = Duration::from_secs(15);

/// Oldest kernel that is supported.
const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// The data plane, and how each server was said to be reached.
#[derive(Debug)]
pub(crate) struct Plane {
    data: DataPlane,
    links: HashMap<IpAddr, Link>,
}

/// What was found when the data plane was opened.
#[derive(Debug)]
pub(crate) struct Found {
    /// Whether an earlier daemon's attachment goes on.
    pub(crate) adopted: bool,
    /// How much of its lease is left.
    pub(crate) lease_remaining: Duration,
    /// How much is left of the longest lease of a group with a backup.
    pub(crate) group_lease_remaining: Duration,
    /// What its operator wanted.
    pub(crate) overrides: Overrides,
    /// What its health, manager and rules last found.
    pub(crate) rulings: Arc<Rulings>,
}

impl Plane {
    /// Loads the program, makes its tables say what the site says, and only then attaches it.
    pub(crate) fn open(
        options: &RunOptions,
        pins: &str,
        (site, node, key, ha_keys): (&Arc<Site>, &Node, SiteKey, &HaKeys),
        mac: Mac,
        interfaces: &[Interface],
    ) -> Result<(Self, Found), RunError> {
        let open = OpenOptions {
            bpffs: options.bpffs.clone(),
            site: pins.to_owned(),
            interface: node.interface.clone(),
            mac: mac.0,
            key,
            mode: match options.mode {
                XdpMode::Auto => Wish::Any,
                XdpMode::Native => Wish::Only(Mode::Native),
                XdpMode::Generic => Wish::Only(Mode::Generic),
            },
            replace_foreign: options.replace_foreign,
        };
        let mut data = DataPlane::open(open, site, &node.name).map_err(open_error)?;
        data.set_ha_keys(ha_keys.clone());
        let mut links = data.remembered_links();
        links.retain(|_, link| still_there(link, interfaces));
        let overrides = data.overrides().clone();
        let rulings = Arc::clone(data.rulings());
        let before = data.lease_remaining();
        let mut plane = Self { data, links };
        match plane.begin(site, &overrides, &rulings) {
            Ok(taken_over) => {
                // Tables that were made anew have the lease only since it was carried over from the old ones.
                let lease_remaining = if before.is_zero() { plane.data.lease_remaining() } else { before };
                let group_lease_remaining = plane.group_lease_remaining(site);
                let running = [lease_remaining, group_lease_remaining].iter().any(|left| !left.is_zero());
                let adopted = taken_over || running;
                Ok((plane, Found { adopted, lease_remaining, group_lease_remaining, overrides, rulings }))
            }
            Err(error) => {
                plane.undo();
                Err(error)
            }
        }
    }

    /// Makes the tables say what is wanted; returns what is worth telling beside it.
    pub(crate) fn apply(
        &mut self,
        site: &Arc<Site>,
        overrides: &Overrides,
        rulings: &Arc<Rulings>,
    ) -> Result<Vec<String>, String> {
        self.hold_on();
        match self.data.apply(site, overrides, rulings, &self.links) {
            Ok(None) => Ok(Vec::new()),
            Ok(Some(carried)) => Ok(vec![format!(
                "moved to larger tables with {} flows; {} had no place",
                carried.flows, carried.left
            )]),
            Err(error) => Err(error.to_string()),
        }
    }

    /// From now on frames for this server go there.
    pub(crate) fn set_link(&mut self, server: IpAddr, link: Link) {
        if self.links.insert(server, link) != Some(link) {
            self.data.set_link(server, Some(link));
        }
    }

    /// Where frames for this server go, if that is known.
    pub(crate) fn link(&self, server: IpAddr) -> Option<Link> {
        self.links.get(&server).copied()
    }

    /// Attaches the program to the node's interface, whose hardware address is this.
    pub(crate) fn attach(&mut self, mac: Mac) -> Result<(), String> {
        self.data.set_mac(mac.0);
        let attached = self.data.attach().map_err(|error| error.to_string())?;
        if let Some(cause) = attached.not_native {
            tracing::warn!(%cause, "the program runs in generic mode, which is slow");
        }
        Ok(())
    }

    /// Active for so long from now on.
    pub(crate) fn renew(&self, lease: Duration) {
        self.data.renew(lease);
    }

    /// Active no more.
    pub(crate) fn release(&self) {
        self.data.release();
    }

    /// The secrets shared with partners; the next [`Self::apply`] writes them.
    pub(crate) fn set_ha_keys(&mut self, keys: &HaKeys) {
        self.data.set_ha_keys(keys.clone());
    }

    /// Attaches the program for partners' frames to these interfaces and no others; returns what it is not attached to, and
    /// what follows from that.
    pub(crate) fn attach_paths(&mut self, interfaces: &[String]) -> Vec<String> {
        let failed = |error: geminus_dataplane::AttachError| {
            format!("{error}: the path works, but a partner whose daemon is dead is taken for dead by it")
        };
        self.data.attach_paths(interfaces).err().into_iter().flatten().map(failed).collect()
    }

    /// How much is left of a group's lease.
    pub(crate) fn lease_of(&self, group: u8) -> Duration {
        self.data.leases().read(group).lease
    }

    /// What is to be read and asked.
    pub(crate) const fn data(&mut self) -> &mut DataPlane {
        &mut self.data
    }

    /// Leaves nothing behind.
    pub(crate) fn detach(self) -> Result<(), RunError> {
        self.data.detach().map_err(open_error)
    }

    fn begin(
        &mut self,
        site: &Arc<Site>,
        overrides: &Overrides,
        rulings: &Arc<Rulings>,
    ) -> Result<bool, RunError> {
        self.hold_groups_on(site);
        for note in self.apply(site, overrides, rulings).map_err(plain)? {
            tracing::info!("{note}");
        }
        let attached = self.data.attach().map_err(|error| plain(error.to_string()))?;
        if let Some(cause) = attached.not_native {
            tracing::warn!(%cause, "the program runs in generic mode, which is slow");
        }
        Ok(attached.taken_over)
    }

    fn group_lease_remaining(&self, site: &Site) -> Duration {
        site.groups().iter().map(|group| self.lease_of(group.number)).max().unwrap_or_default()
    }

    /// Those of groups neither, while nobody else renews them: the heartbeat thread does not run yet.
    fn hold_groups_on(&self, site: &Site) {
        let leases = self.data.leases();
        for group in site.groups() {
            let left = leases.read(group.number).lease;
            if !left.is_zero() && left < APPLY_LEASE {
                leases.renew(group.number, APPLY_LEASE);
            }
        }
    }

    /// The lease of a data plane that forwards does not run out while its tables are written.
    fn hold_on(&self) {
        let left = self.data.lease_remaining();
        if !left.is_zero() && left < APPLY_LEASE {
            self.renew(APPLY_LEASE);
        }
    }

    /// A start that failed leaves what an earlier daemon left, and nothing else.
    fn undo(mut self) {
        if !self.data.info().adopted
            && let Err(error) = self.data.detach()
        {
            tracing::debug!(%error, "a failed start left pins behind");
        }
    }
}

/// Whether an interface that an earlier daemon used still has its index and its hardware address.
fn still_there(link: &Link, interfaces: &[Interface]) -> bool {
    match link {
        Link::Local => true,
        Link::Remote { source, interface, .. } => {
            interfaces.iter().any(|there| there.index == *interface && there.mac == Some(Mac(*source)))
        }
    }
}

fn plain(message: String) -> RunError {
    RunError::Plane { message, hint: None, details: Vec::new() }
}

fn open_error(error: OpenError) -> RunError {
    match error {
        OpenError::Program(ProgramFailure::Verifier { kernel, cause, log_tail }) => RunError::Plane {
            message: format!("kernel {kernel} refused the program: {cause}"),
            hint: ground_hint()
                .or_else(|| Some("an earlier daemon's program goes on; please report this".to_owned())),
            details: log_tail.lines().map(str::to_owned).collect(),
        },
        OpenError::Program(failure) => {
            RunError::Plane { message: failure.to_string(), hint: ground_hint(), details: Vec::new() }
        }
        other => plain(other.to_string()),
    }
}

/// What this machine lacks that explains why a program is refused.
fn ground_hint() -> Option<String> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
    let kernel = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let (major, minor) = OLDEST_KERNEL;
    (kernel < OLDEST_KERNEL)
        .then(|| format!("Linux {release} is too old; {major}.{minor} is the oldest that is supported"))
}
