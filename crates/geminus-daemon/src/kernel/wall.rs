//! The clock on the wall, which people set: every minute, and at once when it is set or was asleep.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use geminus_core::director::TimeOfDay;
use jiff::Zoned;
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::calls::watched;

const MINUTE: u64 = 60;

/// Wakes at each full minute.
pub(crate) struct Wall {
    timer: AsyncFd<OwnedFd>,
}

impl Wall {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        arm(&timer)?;
        Ok(Self { timer: watched(timer)? })
    }

    /// What time it is when the next minute begins, or when the clock is set.
    pub(crate) async fn next(&mut self) -> TimeOfDay {
        loop {
            match self.timer.readable().await {
                Ok(mut ready) => {
                    let mut count = [0; size_of::<u64>()];
                    // That the clock was set comes as an error, and ends the waiting as the minute does.
                    if read(ready.get_inner(), &mut count) == Err(Errno::AGAIN) {
                        ready.clear_ready();
                        continue;
                    }
                    ready.clear_ready();
                }
                Err(error) => tracing::warn!(%error, "the clock on the wall cannot be waited for"),
            }
            if let Err(error) = arm(self.timer.get_ref()) {
                tracing::warn!(%error, "the clock on the wall cannot be waited for");
            }
            return time_of_day();
        }
    }
}

/// What time of the week it is here.
pub(crate) fn time_of_day() -> TimeOfDay {
    of(&Zoned::now())
}

fn of(now: &Zoned) -> TimeOfDay {
    let part = |value: i8| u8::try_from(value).unwrap_or_default();
    TimeOfDay {
        weekday: part(now.weekday().to_monday_zero_offset()),
        minute: u16::from(part(now.hour())) * 60 + u16::from(part(now.minute())),
    }
}

fn minute() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / MINUTE
}

/// To the beginning of the next minute. A clock that was set before the timer knew of it is seen by looking twice.
fn arm(timer: &OwnedFd) -> io::Result<()> {
    loop {
        let now = minute();
        let next = Timespec { tv_sec: i64::try_from((now + 1) * MINUTE).unwrap_or(i64::MAX), tv_nsec: 0 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: next };
        timerfd_settime(timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &once)?;
        if minute() == now {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;

    fn at(unix: i64, zone: &str) -> TimeOfDay {
        let zone = TimeZone::posix(zone).expect("it is one");
        of(&Timestamp::from_second(unix).expect("it is in range").to_zoned(zone))
    }

    #[test]
    fn the_time_of_day_is_that_of_the_place() {
        // 2026-11-22, a Sunday, 23:30 in Greenwich.
        assert_eq!(at(1_795_390_200, "UTC0"), TimeOfDay { weekday: 6, minute: 23 * 60 + 30 });
        assert_eq!(at(1_795_390_200, "CET-1"), TimeOfDay { weekday: 0, minute: 30 });
    }

    #[tokio::test]
    async fn the_timer_waits_for_the_next_minute_and_no_longer() {
        let wall = Wall::new().expect("there are timers");
        let left = rustix::time::timerfd_gettime(wall.timer.get_ref()).expect("it is one").it_value;
        assert!((0..=60).contains(&left.tv_sec), "{left:?}");
    }
}
