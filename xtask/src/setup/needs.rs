//! What the project needs beside cargo, and why. The one list of it.

use crate::setup::distribution::Package;

/// The release of bpf-linker that links the BPF object.
pub(crate) const BPF_LINKER_VERSION: &str = "0.10.3";

/// Releases of bpf-linker that are accepted where one is found in `PATH`: they read the same bitcode.
pub(crate) const BPF_LINKER_SERIES: &str = "0.10.";

/// A program that the lab starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its name in `PATH`.
    pub(crate) name: &'static str,
    /// What the project does with it.
    pub(crate) why: &'static str,
    /// Who ships it.
    pub(crate) package: Package,
}

/// Every program that the lab, the demo and the benchmarks start.
pub(crate) const PROGRAMS: [Program; 20] = [
    Program { name: "ip", why: "makes the lab's namespaces and links", package: IPROUTE },
    Program { name: "bridge", why: "shows what the lab's switches learnt", package: IPROUTE },
    Program {
        name: "tc",
        why: "puts delay and loss on the lab's links",
        package: Package { fedora: "iproute-tc", ..IPROUTE },
    },
    Program {
        name: "ethtool",
        why: "switches checksum offload off on the lab's links",
        package: Package::everywhere("ethtool"),
    },
    Program {
        name: "nft",
        why: "drops chosen packets in the lab and is one of the benchmark's baselines",
        package: Package::everywhere("nftables"),
    },
    Program { name: "nginx", why: "is the lab's content host", package: Package::everywhere("nginx") },
    Program { name: "curl", why: "is the lab's single client", package: Package::everywhere("curl") },
    Program { name: "wrk", why: "is the lab's crowd of clients", package: Package::everywhere("wrk") },
    Program {
        name: "tcpdump",
        why: "records what crossed a link when a lab test fails",
        package: Package::everywhere("tcpdump"),
    },
    Program {
        name: "keepalived",
        why: "is what takeovers are measured beside",
        package: Package::everywhere("keepalived"),
    },
    Program {
        name: "openssl",
        why: "makes the certificate of the nginx that advisors are tried on",
        package: Package::everywhere("openssl"),
    },
    Program {
        name: "unbound",
        why: "is the DNS server that advisors are tried on",
        package: Package::everywhere("unbound"),
    },
    Program {
        name: "exim4",
        why: "is the SMTP server that advisors are tried on",
        package: Package { debian: "exim4-daemon-light", ..Package::everywhere("exim") },
    },
    Program {
        name: "postgres",
        why: "is the PostgreSQL that advisors are tried on",
        package: Package {
            fedora: "postgresql-server",
            suse: "postgresql-server",
            ..Package::everywhere("postgresql")
        },
    },
    Program {
        name: "redis-server",
        why: "is the Redis that advisors are tried on",
        package: Package { debian: "redis-server", ..Package::everywhere("redis") },
    },
    Program {
        name: "imap-login",
        why: "is the IMAP server that advisors are tried on",
        package: Package { debian: "dovecot-imapd", ..Package::everywhere("dovecot") },
    },
    Program {
        name: "pop3-login",
        why: "is the POP3 server that advisors are tried on",
        package: Package {
            debian: "dovecot-pop3d",
            alpine: "dovecot-pop3d",
            ..Package::everywhere("dovecot")
        },
    },
    Program {
        name: "vsftpd",
        why: "is the FTP server that advisors are tried on",
        package: Package::everywhere("vsftpd"),
    },
    Program {
        name: "slapd",
        why: "is the LDAP server that advisors are tried on",
        package: Package {
            debian: "slapd",
            fedora: "openldap-servers",
            arch: "openldap",
            alpine: "openldap",
            suse: "openldap2",
        },
    },
    Program {
        name: "sshd",
        why: "is the SSH server that advisors are tried on",
        package: Package {
            debian: "openssh-server",
            fedora: "openssh-server",
            ..Package::everywhere("openssh")
        },
    },
];

/// Debian's packages that bring a service with them, and its name; the project needs the program, and no service is ever
/// started or enabled.
pub(crate) const SERVICES: [(&str, &str); 11] = [
    ("nginx", "nginx"),
    ("keepalived", "keepalived"),
    ("unbound", "unbound"),
    ("exim4-daemon-light", "exim4"),
    ("postgresql", "postgresql"),
    ("redis-server", "redis-server"),
    ("dovecot-imapd", "dovecot"),
    ("dovecot-pop3d", "dovecot"),
    ("vsftpd", "vsftpd"),
    ("slapd", "slapd"),
    ("openssh-server", "ssh"),
];

const IPROUTE: Package = Package { fedora: "iproute", ..Package::everywhere("iproute2") };

/// The compiler and the matching `core` for machines without rustup; only Debian ships such a pair.
pub(crate) const DEBIAN_RUST_PAIR: [&str; 2] = ["rustc-web", "rust-web-src"];

/// Where that pair's compiler is.
pub(crate) const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// The sources of `core`, elsewhere.
pub(crate) const RUST_SOURCE: Package =
    Package { debian: "rustc-web rust-web-src", ..Package::everywhere("rust-src") };
