//! Floor 3: the packet path in this machine's kernel, by test-run. Needs root; attaches nothing, pins nothing.

mod clients;
mod differential;
mod fixtures;
mod home;
mod probe;
mod probe_attach;
mod twin;
mod verifier;
