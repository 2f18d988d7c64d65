//! One number for what a configuration says, however it is written.

use super::lines::lines;
use crate::model::Site;

/// Changed whenever the lines are: two forms must never be taken for one.
const FORM: &str = "geminus site 3";

/// BLAKE3 over [`lines`].
///
/// Equal for files that differ in order, spacing, comments or spelled-out defaults only, or in what may differ from node
/// to node, so that two dispatchers, or a person and a dispatcher, can tell whether they mean the same. It is no secret
/// and proves no origin.
pub fn digest(site: &Site) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for line in std::iter::once(FORM).chain(lines(site).iter().map(String::as_str)) {
        // With its length before it, no line runs into the next.
        hasher.update(&(line.len() as u64).to_le_bytes());
        hasher.update(line.as_bytes());
    }
    *hasher.finalize().as_bytes()
}
