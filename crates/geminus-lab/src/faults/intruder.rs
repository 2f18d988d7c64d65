//! Somebody on the wire who is no partner: records and replays heartbeats, forges them, claims addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::cut::{HEARTBEATS, Way};
use crate::frames::{self, Ends, Mac};
use crate::namespace::Namespace;
use crate::traffic::Stop;
use crate::twins::{Twin, Twins};
use crate::wire::{FRAME, Wire, mac_of};

/// Frames sent between two looks at the clock.
const BURST: usize = 64;
/// Length of a probe's payload, and places of its fields; the layout is that of the wire.
const PROBE: usize = 72;
const MAGIC: u32 = 0x4745_4d32;

/// Everything that one dispatcher's port sent as heartbeats, probes and answers within `time`.
///
/// # Errors
/// When the port cannot be listened to.
pub fn record(place: &Namespace, from: Twin, time: Duration) -> Result<Vec<Vec<u8>>> {
    let wire = Wire::at(place, from.name())?;
    wire.wait_at_most(Duration::from_millis(50))?;
    let (begun, mut frames, mut buffer) = (Instant::now(), Vec::new(), [0; FRAME]);
    while begun.elapsed() < time {
        let Some(frame) = wire.receive(&mut buffer)? else { continue };
        if frames::udp_port(frame) == Some(HEARTBEATS) {
            frames.push(frame.to_vec());
        }
    }
    Ok(frames)
}

/// Sends frames to one dispatcher again and again.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<Stop>,
    thread: JoinHandle<Result<u64>>,
    begun: Instant,
}

/// What a flood came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flooded {
    /// Frames sent.
    pub frames: u64,
    /// Frames in a second.
    pub per_second: f64,
}

impl Flood {
    /// Sends `frames` in turn out of the port to `to`, at most `per_second`, until stopped; at least one is needed.
    ///
    /// # Errors
    /// When the port cannot be used.
    pub fn start(place: &Namespace, to: Twin, frames: Vec<Vec<u8>>, per_second: u32) -> Result<Self> {
        let wire = Wire::at(place, to.name())?;
        frames.first().context("a flood needs a frame")?;
        let stop = Arc::new(Stop::default());
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || pour(&wire, &frames, per_second, &told));
        Ok(Self { stop, thread, begun: Instant::now() })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When the wire failed or the thread panicked.
    pub fn stop(self) -> Result<Flooded> {
        self.stop.tell();
        let frames = self.thread.join().map_err(|_| anyhow!("a flood's thread panicked"))??;
        Ok(Flooded { frames, per_second: frames as f64 / self.begun.elapsed().as_secs_f64() })
    }
}

fn pour(wire: &Wire, frames: &[Vec<u8>], per_second: u32, stop: &Stop) -> Result<u64> {
    let (begun, mut sent) = (Instant::now(), 0_u64);
    let mut turn = frames.iter().cycle();
    while !stop.told() {
        let due = (begun.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        if sent >= due {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        for frame in turn.by_ref().take(BURST.min((due - sent) as usize)) {
            sent += u64::from(wire.send(frame)?);
        }
    }
    Ok(sent)
}

/// Heartbeats that nobody with the key made: right addresses and form, every other bit by chance. A third are probes,
/// a third beats of random lengths, a third noise without even the form.
///
/// # Errors
/// When the pair has no such path.
pub fn forged(twins: &Twins, to: Twin, way: Way, count: usize, seed: u64) -> Result<Vec<Vec<u8>>> {
    let ends = ends(twins, to, way)?;
    let mut chance = Chance(seed | 1);
    let one = |kind: usize| -> Vec<u8> {
        let length = if kind == 0 { PROBE } else { 72 + chance.below(900) };
        let mut payload = chance.bytes(length);
        if kind < 2 {
            payload[..4].copy_from_slice(&MAGIC.to_le_bytes());
            // Version, kind (beat 1, probe 2), path.
            payload[4..7].copy_from_slice(&[1, if kind == 0 { 2 } else { 1 }, way as u8]);
        }
        frames::datagram(&ends, &payload).expect("both ends of a path are of one family")
    };
    Ok((0..count).map(|number| number % 3).map(one).collect())
}

fn ends(twins: &Twins, to: Twin, way: Way) -> Result<Ends> {
    let path = twins.file.ha.paths.get(way as usize).context("the pair has no such path")?;
    let address = |twin: Twin| path[twin.place()];
    let mac = |twin: Twin| mac_of(&twins.machine(twin).namespace, way.device());
    Ok(Ends {
        macs: (mac(to.other())?, mac(to)?),
        addresses: (address(to.other()), address(to)),
        ports: (HEARTBEATS, HEARTBEATS),
    })
}

/// Says on the LAN, again and again, that an address is at a hardware address of nobody.
#[derive(Debug)]
pub struct Claimant {
    stop: Arc<Stop>,
    thread: JoinHandle<Result<()>>,
}

/// The hardware address that a [`Claimant`] claims for.
pub const STRANGER: Mac = [0x02, 0x00, 0x5e, 0x10, 0x00, 0x66];

impl Claimant {
    /// Begins, from the observer's place.
    ///
    /// # Errors
    /// When the site has no observer.
    pub fn start(twins: &Twins, addresses: Vec<IpAddr>, every: Duration) -> Result<Self> {
        let machine = twins.site.observer.as_ref().context("the site has no observer")?;
        let wire = Wire::at(&machine.namespace, "eth0")?;
        let stop = Arc::new(Stop::default());
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.told() {
                for &address in &addresses {
                    wire.send(&frames::claim(STRANGER, address))?;
                }
                std::thread::sleep(every);
            }
            Ok(())
        });
        Ok(Self { stop, thread })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When the wire failed or the thread panicked.
    pub fn stop(self) -> Result<()> {
        self.stop.tell();
        self.thread.join().map_err(|_| anyhow!("a claimant's thread panicked"))?
    }
}

/// Numbers by chance, the same for the same seed (xorshift64*).
#[derive(Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// The next one.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() >> 16) as usize % limit.max(1)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.number() >> 32) as u8).collect()
    }
}
