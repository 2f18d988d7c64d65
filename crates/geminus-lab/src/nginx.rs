//! nginx on a content host: it answers with its name.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process::Process;
use crate::site::Machine;
use crate::traffic::probe::{self, PortState};
use crate::undo::Ledger;

/// The port of everything a client may see.
pub const HTTP: u16 = 80;
/// A port that every content host has open and no cluster exposes.
pub const UNEXPOSED: u16 = 8080;
/// Size of the file behind `/page`.
pub const PAGE_BYTES: usize = 16 * 1024;
/// Size of the file behind `/slow`, which is sent at [`SLOW_BYTES_PER_SECOND`].
pub const SLOW_BYTES: usize = 256 * 1024;
/// How fast `/slow` flows.
pub const SLOW_BYTES_PER_SECOND: usize = 64 * 1024;

/// Starts nginx in `folder` and waits until it answers.
pub(crate) fn start(machine: &Machine, folder: &Path, ledger: &Ledger) -> Result<Process> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::write(folder.join("page"), vec![b'p'; PAGE_BYTES])?;
    std::fs::write(folder.join("slow"), vec![b's'; SLOW_BYTES])?;
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration(&machine.name, folder))?;
    let log = folder.join("nginx.log");
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&file).arg("-e").arg(&log);
    let process = Process::start(&machine.namespace, &mut command, &log, ledger)?;
    wait_for_answer(machine, &process)?;
    Ok(process)
}

fn wait_for_answer(machine: &Machine, process: &Process) -> Result<()> {
    let begun = Instant::now();
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP));
    while probe::tcp(&machine.namespace, here, Duration::from_secs(1))? != PortState::Open {
        if let Some(status) = process.ended()? {
            bail!("nginx on {} ended ({status}): {}", machine.name, process.log().trim());
        }
        if begun.elapsed() > Duration::from_secs(5) {
            bail!("nginx on {} does not answer: {}", machine.name, process.log().trim());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// One process without a master, so that one pid is all there is to stop.
fn configuration(name: &str, folder: &Path) -> String {
    let folder = folder.display();
    let mut text =
        format!("daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/nginx.pid;\n");
    text.push_str("events { worker_connections 16384; }\n");
    text.push_str("http {\n  access_log off;\n  default_type text/plain;\n");
    text.push_str("  keepalive_timeout 600;\n  keepalive_requests 10000000;\n");
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "  {kind}_temp_path {folder}/{kind};");
    }
    text.push_str("  server {\n");
    for port in [HTTP, UNEXPOSED] {
        let _ = writeln!(
            text,
            "    listen {port} backlog=8192;\n    listen [::]:{port} ipv6only=on backlog=8192;"
        );
    }
    let _ = writeln!(text, "    add_header X-Server {name} always;");
    let _ = writeln!(text, "    location / {{ return 200 \"{name}\\n\"; }}");
    text.push_str("    location = /health { return 200 \"ok\\n\"; }\n");
    let _ = writeln!(text, "    location = /page {{ root {folder}; }}");
    let _ = writeln!(text, "    location = /slow {{ root {folder}; limit_rate {SLOW_BYTES_PER_SECOND}; }}");
    text.push_str("  }\n}\n");
    text
}
