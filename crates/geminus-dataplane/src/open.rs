//! From nothing, or from what an earlier daemon left, to a program and its tables.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aya::maps::MapInfo;
use geminus_core::key::SiteKey;
use geminus_core::model::Site;
use geminus_core::plan::{self, Planner};
use geminus_packet::heap::Sizes;
use geminus_packet::tables::{LAYOUT, Tables as _};

use crate::attach::Wish;
use crate::mapped::{self, MAPS, MappedTables};
use crate::object::SOURCES;
use crate::pins::Pins;
use crate::program::{Loaded, ProgramFailure};

/// Where and how the data plane is to be.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// A mounted bpffs.
    pub bpffs: PathBuf,
    /// Folder of the site's pins below it: one path component.
    pub site: String,
    /// Interface that faces clients and servers.
    pub interface: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The site's secret.
    pub key: SiteKey,
    /// Which XDP modes may be used.
    pub mode: Wish,
    /// Whether another XDP program may be removed from the interface.
    pub replace_foreign: bool,
}

/// Why there is no data plane. Nothing was changed: what an earlier daemon left still forwards.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The pins have nowhere to live.
    #[error("{path} is not a bpffs: mount one with `mount -t bpf bpf {path}`", path = path.display())]
    NoBpffs {
        /// Where it should be.
        path: PathBuf,
    },
    /// The process may not do it.
    #[error(
        "not permitted to {what}: run as root, or give the process CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    NotPermitted {
        /// What was refused.
        what: &'static str,
    },
    /// The pins cannot be made or read.
    #[error("{path}: {cause}", path = path.display())]
    Pins {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The site's folder name is not one path component.
    #[error("{0:?} cannot be the name of a folder on bpffs: use letters, digits, '-' and '_'")]
    SiteName(String),
    /// The program could not be made.
    #[error(transparent)]
    Program(#[from] ProgramFailure),
}

/// A program and its tables, not attached yet.
pub(crate) struct Opened {
    pub(crate) loaded: Loaded,
    pub(crate) tables: Arc<MappedTables>,
    pub(crate) planner: Planner,
    pub(crate) folder: PathBuf,
    pub(crate) adopted: bool,
}

/// Checks what everything else stands on.
pub(crate) fn check_ground(options: &OpenOptions) -> Result<(), OpenError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if options.site.is_empty() || !options.site.chars().all(plain) {
        return Err(OpenError::SiteName(options.site.clone()));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let real = fs::canonicalize(&options.bpffs).unwrap_or_else(|_| options.bpffs.clone());
    let is_bpffs = mounts.lines().any(|line| {
        let at = line.split(' ').nth(4).unwrap_or_default();
        let kind = line.split(" - ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        kind == "bpf" && Path::new(at) == real
    });
    if !is_bpffs {
        return Err(OpenError::NoBpffs { path: options.bpffs.clone() });
    }
    Ok(())
}

/// Adopts the tables that an earlier daemon pinned, if they are of this program's kind and large enough; else makes new
/// ones beside them, which [`crate::DataPlane::apply`] fills from the old.
pub(crate) fn open(pins: &Pins, site: &Site, cpus: u32) -> Result<(Opened, Option<MappedTables>), OpenError> {
    let wanted = plan::sizes(site, cpus);
    let mut old = None;
    for (_, folder) in pins.tables() {
        let Some(sizes) = pinned_sizes(&folder, cpus) else {
            remove(&folder)?;
            continue;
        };
        if Planner::same_kind(&sizes, &wanted) && has_layout(&folder, &sizes)? {
            let opened = load(pins, &folder, &sizes, true)?;
            return Ok((opened, None));
        }
        if has_layout(&folder, &sizes)? {
            let loaded = Loaded::new(&sizes, Some(&folder)).map_err(classify)?;
            old = Some(loaded.tables(&sizes)?);
        }
    }
    Ok((load(pins, &pins.next_tables(), &wanted, false)?, old))
}

pub(crate) fn load(pins: &Pins, folder: &Path, sizes: &Sizes, adopted: bool) -> Result<Opened, OpenError> {
    pins.make(folder).map_err(|cause| pins_error(folder, cause))?;
    let made = Loaded::new(sizes, Some(folder)).map_err(classify).and_then(|loaded| {
        let tables = loaded.tables(sizes)?;
        Ok((loaded, tables))
    });
    let (loaded, tables) = match made {
        Ok(made) => made,
        Err(error) => {
            if !adopted {
                remove(folder)?;
            }
            return Err(error);
        }
    };
    let planner = Planner::adopt(&tables, sizes);
    Ok(Opened { loaded, tables: Arc::new(tables), planner, folder: folder.into(), adopted })
}

/// Unpins an installation.
pub(crate) fn remove(folder: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|cause| pins_error(folder, cause)),
    }
}

/// The sizes of an installation, from its maps; none if one is missing or is not ours.
fn pinned_sizes(folder: &Path, cpus: u32) -> Option<Sizes> {
    let entries = |name: &str| MapInfo::from_pin(folder.join(name)).ok().map(|info| info.max_entries());
    let sizes = Sizes {
        address_buckets: entries("ADDRESSES")?,
        endpoint_buckets: entries("ENDPOINTS")?,
        ranges: entries("RANGES")?,
        services: entries("SERVICES")?,
        ring_lines: entries("RING")?,
        servers: entries("SERVERS")?,
        flow_buckets: entries("FLOWS")?,
        provisional_buckets: entries("PROVISIONAL")?,
        affinity_buckets: entries("AFFINITY")?,
        tuples: entries("TUPLES")?,
        sources: entries(SOURCES)?,
        cpus,
    };
    let whole = MAPS.iter().all(|name| {
        MapInfo::from_pin(folder.join(name)).is_ok_and(|info| {
            Some(info.max_entries()) == mapped::entries(name, &sizes)
                && Some(info.value_size() as usize) == mapped::entry_size(name)
        })
    });
    whole.then_some(sizes)
}

/// Whether an installation's tables mean what this program takes them for.
fn has_layout(folder: &Path, sizes: &Sizes) -> Result<bool, OpenError> {
    let tables = mapped::from_pins(sizes, folder).map_err(|cause| pins_error(folder, cause))?;
    Ok(tables.globals().is_some_and(|globals| globals.layout.load() == LAYOUT))
}

fn pins_error(path: &Path, cause: io::Error) -> OpenError {
    if cause.kind() == io::ErrorKind::PermissionDenied {
        return OpenError::NotPermitted { what: "pin BPF objects" };
    }
    OpenError::Pins { path: path.into(), cause }
}

/// A refusal for want of a capability is not a fault of the program.
fn classify(failure: ProgramFailure) -> OpenError {
    if failure.is_permission() {
        return OpenError::NotPermitted { what: "load BPF programs" };
    }
    OpenError::Program(failure)
}
