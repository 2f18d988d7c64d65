//! Accepts clients.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use geminus_api::ApiError;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use super::peer::Peer;
use super::session::{self, refuse};
use super::{CLIENTS, Question};

/// A pause after an error of `accept`, such as no free descriptor.
const PAUSE: Duration = Duration::from_millis(100);

/// The control socket; removed when dropped.
#[derive(Debug)]
pub(crate) struct ControlServer {
    path: PathBuf,
    listener: UnixListener,
    gid: u32,
}

impl ControlServer {
    /// Binds the socket, mode 0660. The runtime directory's lock must be held: a socket that is there is a dead daemon's.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The socket must never be there with a wider mode, not even for a moment.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o117));
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = bound?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        let gid = std::fs::symlink_metadata(path)?.gid();
        Ok(Self { path: path.to_owned(), listener, gid })
    }

    /// Serves clients for ever; each question goes to `questions`.
    pub(crate) async fn serve(&self, questions: mpsc::Sender<Question>) {
        let places = Arc::new(Semaphore::new(CLIENTS));
        let uid = rustix::process::geteuid().as_raw();
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "client not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            if !self.is_welcome(&stream, uid) {
                refuse(&stream, &not_allowed());
                continue;
            }
            match Arc::clone(&places).try_acquire_owned() {
                Err(_) => refuse(&stream, &too_many()),
                Ok(place) => {
                    let questions = questions.clone();
                    tokio::spawn(async move {
                        if let Err(error) = session::run(stream, &questions).await {
                            tracing::debug!(%error, "client lost");
                        }
                        drop(place);
                    });
                }
            }
        }
    }

    fn is_welcome(&self, stream: &UnixStream, uid: u32) -> bool {
        Peer::of(stream).is_ok_and(|peer| peer.may_order(uid, self.gid))
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // Whatever stands in the way of removing it does not stand in the way of the next daemon.
        drop(std::fs::remove_file(&self.path));
    }
}

fn not_allowed() -> ApiError {
    ApiError {
        message: "you may not talk to this daemon".to_owned(),
        hint: Some("run as root, or join the group that owns the socket".to_owned()),
        details: Vec::new(),
    }
}

fn too_many() -> ApiError {
    ApiError {
        message: format!("{CLIENTS} clients are connected already"),
        hint: Some("end some of them, or try again in a moment".to_owned()),
        details: Vec::new(),
    }
}
