//! The data plane as the daemon knows it.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aya::util::nr_cpus;
use geminus_core::key::HaKeys;
use geminus_core::model::Site;
use geminus_core::plan::{
    self, Carried, Census, Changed, Link, Overrides, PlanError, Planner, Rulings, TicksPerSecond, Wanted,
};
use geminus_packet::tables::{GROUPS, Tables as _};

use crate::attach::{self, AttachError, Attached, Mode};
use crate::leases::Leases;
use crate::live::{KernelClock, Live, carry_groups};
use crate::mapped::MappedTables;
use crate::open::{self, OpenError, OpenOptions, Opened};
use crate::paths::Paths;
use crate::pins::Pins;
use crate::program::{Loaded, ProgramFailure};
use crate::release;
use crate::replica::LiveTables;

/// Group of the clusters without a backup: what the data plane's own lease is about. Those of the others are renewed by
/// [`Leases`].
const GROUP: u8 = 0;

/// Why the tables do not say what is wanted. They say what they said before.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Larger tables were needed and could not be made.
    #[error("larger tables are needed and cannot be made: {0}")]
    Tables(#[from] OpenError),
    /// The site does not even fit tables made for it.
    #[error("the site does not fit tables made for it: {0}; this is a fault in geminus, please report it")]
    Plan(#[from] PlanError),
    /// The moved-to program could not be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// What there is to say about the data plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Kernel's id of the program.
    pub program_id: u32,
    /// Kernel's digest of its instructions.
    pub program_tag: u64,
    /// Instructions the verifier walked.
    pub verified_instructions: u32,
    /// Kernel memory of all tables, bytes.
    pub memory_bytes: u64,
    /// How it is attached; none before [`DataPlane::attach`].
    pub attached: Option<(u32, Mode)>,
    /// Whether tables of an earlier daemon were found and kept.
    pub adopted: bool,
}

/// The program in the kernel, its tables, and what they are to say.
pub struct DataPlane {
    pub(crate) options: OpenOptions,
    pins: Pins,
    pub(crate) opened: Opened,
    /// Tables of an earlier daemon that could not be kept: their flows are carried over by the first apply.
    old: Option<MappedTables>,
    written: Arc<Live>,
    attached: Option<(u32, Mode)>,
    /// Interfaces that lead to partners alone; none: nobody has said yet.
    path_interfaces: Option<Vec<String>>,
    pub(crate) ticks: TicksPerSecond,
    node: String,
    cpus: u32,
    pub(crate) site: Arc<Site>,
    /// Whether `site` is what the tables say.
    installed: bool,
    overrides: Overrides,
    rulings: Arc<Rulings>,
    links: HashMap<IpAddr, Link>,
    pub(crate) census: Census,
    ha_keys: HaKeys,
    pub(crate) live: Arc<LiveTables>,
}

impl std::fmt::Debug for DataPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataPlane").field("options", &self.options).field("attached", &self.attached).finish()
    }
}

impl DataPlane {
    /// Loads the program over tables that were pinned before, or over new ones large enough for `site`. Neither attaches
    /// nor changes what the tables say.
    ///
    /// # Errors
    /// See [`OpenError`]; what an earlier daemon left goes on forwarding.
    pub fn open(options: OpenOptions, site: &Arc<Site>, node: &str) -> Result<Self, OpenError> {
        open::check_ground(&options)?;
        let pins = Pins::new(&options.bpffs, &options.site);
        pins.make(pins.root()).map_err(|cause| OpenError::Pins { path: pins.root().into(), cause })?;
        let cpus = nr_cpus()
            .map_err(|(_, cause)| OpenError::Pins { path: "/sys/devices/system/cpu".into(), cause })?;
        let cpus = cpus as u32;
        let (opened, old) = open::open(&pins, site, cpus)?;
        let ticks = opened.loaded.tick_rate()?;
        let (overrides, rulings) = remembered(&opened, old.as_ref(), site);
        let clock = kernel_clock(&opened.loaded, ticks)?;
        let live = Arc::new(LiveTables::new(&opened.tables, ticks, clock));
        let written = Arc::new(Live::new(Arc::clone(&opened.tables), clock));
        let ha_keys = HaKeys::from_site(&options.key);
        Ok(Self {
            options,
            pins,
            opened,
            old,
            written,
            attached: None,
            path_interfaces: None,
            ticks,
            node: node.into(),
            cpus,
            site: Arc::clone(site),
            installed: false,
            overrides,
            rulings: Arc::new(rulings),
            links: HashMap::new(),
            census: Census::default(),
            ha_keys,
            live,
        })
    }

    /// The secrets shared with partners, where they are not derived from the site's; the next apply writes them.
    pub fn set_ha_keys(&mut self, keys: HaKeys) {
        self.installed &= self.ha_keys == keys;
        self.ha_keys = keys;
    }

    /// The tables in force, for threads of their own.
    pub fn live(&self) -> &Arc<LiveTables> {
        &self.live
    }

    /// What the operator wants, as the tables of an earlier daemon remember it.
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// What was last found of servers and pools, as the tables of an earlier daemon remember it.
    pub fn rulings(&self) -> &Arc<Rulings> {
        &self.rulings
    }

    /// How server addresses were reached when an earlier daemon last knew.
    pub fn remembered_links(&self) -> HashMap<IpAddr, Link> {
        match &self.old {
            Some(old) => Planner::adopt(old, old.sizes()).links(old, &self.site),
            None => self.opened.planner.links(&*self.opened.tables, &self.site),
        }
    }

    /// Makes the tables say what is wanted, without losing a packet: in place, or where they are too small by moving to
    /// larger ones with all flows.
    ///
    /// # Errors
    /// See [`ApplyError`]; then the tables say what they said before.
    pub fn apply(
        &mut self,
        site: &Arc<Site>,
        overrides: &Overrides,
        rulings: &Arc<Rulings>,
        links: &HashMap<IpAddr, Link>,
    ) -> Result<Option<Carried>, ApplyError> {
        let aim = Aim { site, overrides, rulings, links };
        let mut moved = None;
        if !self.apply_in_place(&aim)? {
            moved = Some(self.move_to(&aim)?);
        } else if let Some(old) = self.old.take() {
            carry_groups(&old, &self.opened.tables);
            moved = Some(self.carry_from(&old));
        }
        self.installed = true;
        self.site = Arc::clone(site);
        self.overrides = overrides.clone();
        self.rulings = Arc::clone(rulings);
        self.links = links.clone();
        Ok(moved)
    }

    /// False where the tables are of another kind or too small; nothing has been written then.
    fn apply_in_place(&mut self, aim: &Aim<'_>) -> Result<bool, ApplyError> {
        let &Aim { site, overrides, rulings, .. } = aim;
        let wanted = aim.wanted(&self.options, &self.ha_keys, &self.node, self.ticks);
        let (planner, tables) = (&mut self.opened.planner, &*self.opened.tables);
        let grace = release::wait_for_running_programs;
        let outcome = if self.installed && Arc::ptr_eq(site, &self.site) {
            let changed = Changed {
                servers: overrides
                    .differing(&self.overrides)
                    .chain(rulings.differing(&self.rulings))
                    .collect(),
                services: rulings.switched(&self.rulings).collect(),
            };
            planner.adjust(tables, &wanted, &changed, grace)
        } else if Planner::same_kind(tables.sizes(), &plan::sizes(site, self.cpus)) {
            planner.apply(tables, &wanted, grace)
        } else {
            return Ok(false);
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(PlanError::Full(_)) => Ok(false),
        }
    }

    /// Another way to a server; none: not known any more (the last one is kept).
    pub fn set_link(&mut self, address: IpAddr, link: Option<Link>) {
        match link {
            Some(link) => drop(self.links.insert(address, link)),
            None => drop(self.links.remove(&address)),
        }
        let (site, overrides, rulings) = (&self.site, &self.overrides, &self.rulings);
        let aim = Aim { site, overrides, rulings, links: &self.links };
        let wanted = aim.wanted(&self.options, &self.ha_keys, &self.node, self.ticks);
        self.opened.planner.set_link(&*self.opened.tables, &wanted, address);
    }

    /// Attaches the program to its interface, or puts it in the place of an earlier daemon's.
    ///
    /// # Errors
    /// See [`AttachError`]; what was attached before still is.
    pub fn attach(&mut self) -> Result<Attached, AttachError> {
        let options = &self.options;
        let program = self.opened.loaded.program().map_err(|error| AttachError::Failed {
            interface: options.interface.clone(),
            cause: error.to_string(),
        })?;
        let attached =
            attach::attach(program, &self.pins, &options.interface, options.mode, options.replace_foreign)?;
        self.attached = Some((attached.interface, attached.mode));
        // A path without the program works without its echo; whoever asked for it was told when it was first tried.
        drop(self.attach_again());
        self.drop_other_tables();
        Ok(attached)
    }

    /// Attaches the small program for partners' frames to exactly these interfaces, beside the node's own. One that does not
    /// take it, or has somebody else's, is left alone: its path works, but without echo and without stamps.
    ///
    /// # Errors
    /// The interfaces that the program is not attached to, and why.
    pub fn attach_paths(&mut self, interfaces: &[String]) -> Result<(), Vec<AttachError>> {
        let own = &self.options.interface;
        let mut names: Vec<_> = interfaces.iter().filter(|name| *name != own).cloned().collect();
        names.sort();
        names.dedup();
        self.path_interfaces = Some(names);
        self.attach_again()
    }

    fn attach_again(&mut self) -> Result<(), Vec<AttachError>> {
        let failed =
            |interface: &str, cause: String| AttachError::Failed { interface: interface.into(), cause };
        let mut errors = Vec::new();
        // Nobody has said yet which they are: what an earlier daemon attached stays until somebody does.
        let Some(names) = &self.path_interfaces else { return Ok(()) };
        if let Err(error) = attach::keep_paths(&self.pins, names) {
            errors.push(failed(&self.options.interface, error.to_string()));
        }
        for name in names {
            let outcome = match self.opened.loaded.twin_program() {
                Ok(program) => attach::attach_path(program, &self.pins, name, self.options.mode).map(drop),
                Err(error) => Err(failed(name, error.to_string())),
            };
            errors.extend(outcome.err());
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The interface has another hardware address now.
    pub fn set_mac(&mut self, mac: [u8; 6]) {
        self.options.mac = mac;
        if let Some(globals) = self.opened.tables.globals() {
            globals.mac.store(geminus_packet::tables::mac_word(mac));
        }
    }

    /// Being active is a lease: for so long from now the node owns the clusters that are its alone, whatever becomes of this
    /// process.
    pub fn renew(&self, lease: Duration) {
        self.leases().renew(GROUP, lease);
    }

    /// The node owns none of the clusters that are its alone from now on.
    pub fn release(&self) {
        self.leases().renew(GROUP, Duration::ZERO);
    }

    /// How long the node is still active for the clusters that are its alone.
    pub fn lease_remaining(&self) -> Duration {
        self.leases().read(GROUP).lease
    }

    /// The groups' words, for whoever renews them.
    pub fn leases(&self) -> Leases {
        Leases::new(Arc::clone(&self.written))
    }

    /// The paths' words, for whoever talks to partners.
    pub fn paths(&self) -> Paths {
        Paths::new(Arc::clone(&self.written))
    }

    /// What there is to say about the data plane.
    pub fn info(&mut self) -> Info {
        let memory_bytes = plan::memory(self.opened.tables.sizes()).total();
        let program = self.opened.loaded.program().ok().and_then(|program| program.info().ok());
        Info {
            program_id: program.as_ref().map_or(0, aya::programs::ProgramInfo::id),
            program_tag: program.as_ref().map_or(0, aya::programs::ProgramInfo::tag),
            verified_instructions: program.and_then(|info| info.verified_instruction_count()).unwrap_or(0),
            memory_bytes,
            attached: self.attached,
            adopted: self.opened.adopted,
        }
    }

    /// Detaches the program and gives everything up.
    ///
    /// # Errors
    /// A pin that could not be removed.
    pub fn detach(self) -> Result<(), OpenError> {
        let leases = self.leases();
        (0..GROUPS as u8).for_each(|group| leases.renew(group, Duration::ZERO));
        let root = self.pins.root().to_path_buf();
        attach::detach_all(&self.pins).map_err(|cause| OpenError::Pins { path: root.clone(), cause })?;
        for (_, folder) in self.pins.tables() {
            open::remove(&folder)?;
        }
        fs::remove_dir(&root).map_err(|cause| OpenError::Pins { path: root, cause })
    }

    pub(crate) fn now(&self) -> u32 {
        self.live.now().0 as u32
    }

    /// Makes larger tables beside the old, fills them, carries the flows over, switches in one step, and carries over
    /// what came meanwhile.
    fn move_to(&mut self, aim: &Aim<'_>) -> Result<Carried, ApplyError> {
        let sizes = plan::sizes(aim.site, self.cpus);
        let mut next = open::load(&self.pins, &self.pins.next_tables(), &sizes, false)?;
        let wanted = aim.wanted(&self.options, &self.ha_keys, &self.node, self.ticks);
        if let Err(error) = next.planner.apply(&*next.tables, &wanted, || ()) {
            open::remove(&next.folder)?;
            return Err(error.into());
        }
        next.adopted = self.opened.adopted;
        self.written.add(&next.tables);
        let old = std::mem::replace(&mut self.opened, next);
        self.census = Census::default();
        let carried = self.carry_from(&old.tables);
        if self.attached.is_some()
            && let Err(error) = self.attach()
        {
            self.written.keep(&old.tables);
            let next = std::mem::replace(&mut self.opened, old);
            open::remove(&next.folder)?;
            return Err(error.into());
        }
        if self.attached.is_some() {
            release::wait_for_running_programs();
        }
        self.live.replace(&self.opened.tables);
        self.carry_from(&old.tables);
        self.carry_counters(&old.tables);
        self.written.keep(&self.opened.tables);
        Ok(carried)
    }

    fn carry_from(&self, old: &MappedTables) -> Carried {
        plan::carry((old, old.sizes()), (&*self.opened.tables, self.opened.tables.sizes()), self.now())
    }

    /// Counters go on where they stood.
    fn carry_counters(&self, old: &MappedTables) {
        for cpu in 0..self.cpus {
            if let (Some(old), Some(new)) = (old.reasons(cpu), self.opened.tables.reasons(cpu)) {
                for (old, new) in old.packets.iter().zip(&new.packets) {
                    new.fetch_add(old.load());
                }
            }
        }
        let mut numbers = HashMap::new();
        for number in 1..self.opened.tables.sizes().servers {
            if let Some(entry) = self.opened.tables.server(number) {
                numbers.insert(entry.identity.load(), number);
            }
        }
        for number in 1..old.sizes().servers {
            let Some(&new_number) = old.server(number).and_then(|entry| numbers.get(&entry.identity.load()))
            else {
                continue;
            };
            for cpu in 0..self.cpus {
                if let (Some(old), Some(new)) =
                    (old.sent(cpu, number), self.opened.tables.sent(cpu, new_number))
                {
                    new.packets.fetch_add(old.packets.load());
                    new.bytes.fetch_add(old.bytes.load());
                    new.flows.fetch_add(old.flows.load());
                }
            }
        }
    }

    fn drop_other_tables(&mut self) {
        for (_, folder) in self.pins.tables() {
            if folder != self.opened.folder {
                // A folder that stays costs memory and nothing else; the next start tries again.
                let _ = open::remove(&folder);
            }
        }
    }
}

/// What the operator wanted and what was found, as the tables of an earlier daemon remember it: those that were adopted, or
/// those that were too small.
fn remembered(opened: &Opened, old: Option<&MappedTables>, site: &Site) -> (Overrides, Rulings) {
    let of =
        |planner: &Planner, tables: &MappedTables| (planner.overrides(tables), planner.rulings(tables, site));
    match old {
        Some(old) => of(&Planner::adopt(old, old.sizes()), old),
        None => of(&opened.planner, &opened.tables),
    }
}

/// The kernel's coarse clock, read once.
fn kernel_clock(loaded: &Loaded, ticks: TicksPerSecond) -> Result<KernelClock, ProgramFailure> {
    let before = Instant::now();
    let (now, monotonic) = loaded.clock()?;
    Ok(KernelClock::new(before, now, monotonic, ticks))
}

/// What the tables are to say.
struct Aim<'a> {
    site: &'a Arc<Site>,
    overrides: &'a Overrides,
    rulings: &'a Arc<Rulings>,
    links: &'a HashMap<IpAddr, Link>,
}

impl<'a> Aim<'a> {
    fn wanted(
        &self,
        options: &'a OpenOptions,
        ha_keys: &'a HaKeys,
        node: &'a str,
        ticks: TicksPerSecond,
    ) -> Wanted<'a> {
        let &Self { site, overrides, rulings, links } = self;
        Wanted { site, node, key: &options.key, ha_keys, overrides, rulings, links, mac: options.mac, ticks }
    }
}
