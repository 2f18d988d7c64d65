//! What an agent on a content host says of it.

use std::net::IpAddr;

/// One authentic and new report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The host: the address that servers have in the site.
    pub host: IpAddr,
    /// How loaded it is: 0 idle, 1 000 all it has to give; above: more than that is asked of it.
    pub load: u16,
    /// It is about to stop and wants no new flows.
    pub leaving: bool,
    /// What the load is made of, by name: `cpu`, `memory`, `psi-cpu`, `psi-memory`, `psi-io`, `listen-overflows`, and whatever
    /// the host's own programs say; each 0 to 1 000 as the load is, or a plain count.
    pub parts: Vec<(String, u32)>,
    /// What `geminus host check` finds wrong with the set-up there, one line each; at most 8.
    pub findings: Vec<String>,
}
