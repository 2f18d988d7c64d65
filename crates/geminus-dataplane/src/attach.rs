//! The program and its interface: attached by link, natively if the driver can, replaced without a gap.

use std::fs;
use std::io;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, Xdp, XdpMode};

use crate::pins::{LinkKind, LinkPin, Pins};
use crate::release;

/// How a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the stack, after the driver made a socket buffer: works everywhere, and slowly.
    Generic,
}

/// Which modes may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// Native, else generic.
    #[default]
    Any,
    /// This one or none.
    Only(Mode),
}

/// Why the program could not be attached. What was attached before still is.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Another program has the interface.
    #[error(
        "another XDP program is attached to {interface}: detach it (ip link set dev {interface} xdp off), or let \
         geminus take its place with --force"
    )]
    Occupied {
        /// Name of the interface.
        interface: String,
    },
    /// There is no such interface now.
    #[error("interface {interface} does not exist: check its name with `ip link`")]
    NoInterface {
        /// Name of the interface.
        interface: String,
    },
    /// The wished mode does not work here.
    #[error("{interface} does not take XDP programs in {mode} mode: {cause}", mode = mode.word())]
    Unsupported {
        /// Name of the interface.
        interface: String,
        /// The mode.
        mode: Mode,
        /// What the kernel said.
        cause: String,
    },
    /// Something else.
    #[error("the program cannot be attached to {interface}: {cause}")]
    Failed {
        /// Name of the interface.
        interface: String,
        /// What the kernel said.
        cause: String,
    },
}

impl Mode {
    /// The word used in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Native, Self::Generic].into_iter().find(|mode| mode.word() == word)
    }

    const fn flag(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }
}

/// What the program is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The interface, as the kernel counts them.
    pub interface: u32,
    /// How it runs there.
    pub mode: Mode,
    /// Whether an attachment of an earlier daemon was taken over, without a gap.
    pub taken_over: bool,
    /// Why it does not run natively, if that was tried.
    pub not_native: Option<String>,
}

/// Attaches `program` to `interface`, in the place of what an earlier daemon of the same site attached there.
pub(crate) fn attach(
    program: &mut Xdp,
    pins: &Pins,
    name: &str,
    wish: Wish,
    force: bool,
) -> Result<Attached, AttachError> {
    let interface = index_of(name)?;
    // An interface that led to partners alone before: both programs look at partners' frames.
    for pin in pins.links(LinkKind::Path).into_iter().filter(|pin| pin.interface == interface) {
        fs::remove_file(&pin.path).map_err(|error| AttachError::Failed {
            interface: name.into(),
            cause: format!("{}: {error}", pin.path.display()),
        })?;
    }
    attach_alone(program, (pins, LinkKind::Main), (name, interface), wish, force)
}

/// Attaches `program`, which only looks at partners' frames, to an interface that leads to partners. The program of
/// somebody else stays.
pub(crate) fn attach_path(
    program: &mut Xdp,
    pins: &Pins,
    name: &str,
    wish: Wish,
) -> Result<Attached, AttachError> {
    let interface = index_of(name)?;
    attach_alone(program, (pins, LinkKind::Path), (name, interface), wish, false)
}

/// Detaches from every interface that leads to partners but these.
pub(crate) fn keep_paths(pins: &Pins, names: &[String]) -> io::Result<()> {
    let kept: Vec<_> = names.iter().filter_map(|name| release::interface_index(name)).collect();
    let gone = pins.links(LinkKind::Path).into_iter().filter(|pin| !kept.contains(&pin.interface));
    gone.into_iter().try_for_each(|pin| fs::remove_file(pin.path))
}

/// Detaches from every interface.
pub(crate) fn detach_all(pins: &Pins) -> io::Result<()> {
    let all = pins.links(LinkKind::Main).into_iter().chain(pins.links(LinkKind::Path));
    all.into_iter().try_for_each(|pin| fs::remove_file(pin.path))
}

fn index_of(name: &str) -> Result<u32, AttachError> {
    release::interface_index(name).ok_or_else(|| AttachError::NoInterface { interface: name.into() })
}

fn attach_alone(
    program: &mut Xdp,
    (pins, kind): (&Pins, LinkKind),
    (name, interface): (&str, u32),
    wish: Wish,
    force: bool,
) -> Result<Attached, AttachError> {
    let failed = |cause: String| AttachError::Failed { interface: name.into(), cause };
    let mut taken_over = None;
    for pin in pins.links(kind) {
        let here = pin.interface == interface;
        if kind == LinkKind::Path && !here {
            continue;
        }
        if here && wish_allows(wish, pin.mode) && replace(program, &pin).is_some() {
            taken_over = Some(pin.mode);
        } else {
            // Of an interface that is gone or another mode: dropping the pin detaches it.
            fs::remove_file(&pin.path).map_err(|e| failed(format!("{}: {e}", pin.path.display())))?;
        }
    }
    if let Some(mode) = taken_over {
        return Ok(Attached { interface, mode, taken_over: true, not_native: None });
    }
    let (link, mode, not_native) = match wish {
        Wish::Only(mode) => (fresh(program, interface, name, mode, force)?, mode, None),
        Wish::Any => match fresh(program, interface, name, Mode::Native, force) {
            Err(AttachError::Unsupported { cause, .. }) => {
                (fresh(program, interface, name, Mode::Generic, force)?, Mode::Generic, Some(cause))
            }
            native => (native?, Mode::Native, None),
        },
    };
    link.pin(pins.link(kind, interface, mode)).map_err(|e| failed(e.to_string()))?;
    Ok(Attached { interface, mode, taken_over: false, not_native })
}

fn wish_allows(wish: Wish, mode: Mode) -> bool {
    match wish {
        Wish::Any => true,
        Wish::Only(only) => only == mode,
    }
}

/// Puts the program in the place of the one a pinned attachment holds: one packet sees the old one, the next the new.
fn replace(program: &mut Xdp, pin: &LinkPin) -> Option<()> {
    let link = FdLink::from(PinnedLink::from_pin(&pin.path).ok()?);
    let id = program.attach_to_link(XdpLink::try_from(link).ok()?).ok()?;
    // The pin holds the attachment; what is dropped here is this process's handle.
    program.take_link(id).map(drop).ok()
}

fn fresh(
    program: &mut Xdp,
    interface: u32,
    name: &str,
    mode: Mode,
    force: bool,
) -> Result<FdLink, AttachError> {
    let mut attempt = program.attach_to_if_index(interface, mode.flag());
    if force && attempt.as_ref().is_err_and(is_occupied) {
        release::foreign(interface).map_err(|cause| AttachError::Failed {
            interface: name.into(),
            cause: format!("the program attached there could not be removed: {cause}"),
        })?;
        attempt = program.attach_to_if_index(interface, mode.flag());
    }
    let id = attempt.map_err(|error| {
        let cause = cause_of(&error);
        if is_occupied(&error) {
            AttachError::Occupied { interface: name.into() }
        } else {
            AttachError::Unsupported { interface: name.into(), mode, cause }
        }
    })?;
    let failed = |cause: String| AttachError::Failed { interface: name.into(), cause };
    let link = program.take_link(id).map_err(|e| failed(e.to_string()))?;
    FdLink::try_from(link)
        .map_err(|_| failed("the kernel has no BPF links for XDP; Linux 5.9 is the oldest that has".into()))
}

fn is_occupied(error: &ProgramError) -> bool {
    matches!(os_error(error), Some(libc::EBUSY | libc::EEXIST))
}

fn os_error(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(call) => call.io_error.raw_os_error(),
        _ => None,
    }
}

fn cause_of(error: &ProgramError) -> String {
    match error {
        ProgramError::SyscallError(call) => call.io_error.to_string(),
        other => other.to_string(),
    }
}
