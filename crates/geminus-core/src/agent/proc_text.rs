//! What the kernel's own files say of a host's load, as numbers. None where a file is not what it should be.

/// Time of all processors since the start of the machine, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// In which they worked, or would have if the machine below had let them.
    pub busy: u64,
    /// All of it.
    pub total: u64,
}

/// Memory, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What new work can have without anything being put out to disk.
    pub available: u64,
}

/// The first line of `/proc/stat` (`proc_stat(5)`): `cpu`, then user, nice, system, idle, iowait, irq, softirq, steal. The time of guests is
/// in that of users already.
pub fn cpu(stat: &str) -> Option<Cpu> {
    let mut words = stat.lines().next()?.split_ascii_whitespace();
    if words.next()? != "cpu" {
        return None;
    }
    let mut times = [0_u64; 8];
    for (at, time) in times.iter_mut().enumerate() {
        match words.next() {
            Some(word) => *time = word.parse().ok()?,
            // Old kernels tell fewer.
            None if at >= 4 => break,
            None => return None,
        }
    }
    let total = times.iter().fold(0_u64, |sum, time| sum.saturating_add(*time));
    Some(Cpu { busy: total.saturating_sub(times[3]).saturating_sub(times[4]), total })
}

/// `/proc/meminfo` (`proc_meminfo(5)`).
pub fn memory(meminfo: &str) -> Option<Memory> {
    let number = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let memory = Memory { total: number("MemTotal")?, available: number("MemAvailable")? };
    (memory.total > 0).then_some(memory)
}

/// A file of `/proc/pressure` (`Documentation/accounting/psi.rst`): thousandths of the last ten seconds in which some
/// work had to wait.
pub fn pressure(text: &str) -> Option<u16> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let share = some.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
    let (whole, part) = share.split_once('.').unwrap_or((share, "0"));
    let digit = part.bytes().next().filter(u8::is_ascii_digit)? - b'0';
    let percent: u16 = whole.parse().ok()?;
    Some((percent.checked_mul(10)? + u16::from(digit)).min(1000))
}

/// Connections that a full queue of a listener refused since the start of the machine, by `/proc/net/netstat`: the
/// greater of `ListenOverflows` and `ListenDrops`, for kernels count the one within the other.
pub fn overflows(netstat: &str) -> Option<u64> {
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let of = |wanted: &str| {
        let at = names.split_ascii_whitespace().position(|name| name == wanted)?;
        values.split_ascii_whitespace().nth(at)?.parse::<u64>().ok()
    };
    of("ListenOverflows").max(of("ListenDrops"))
}
