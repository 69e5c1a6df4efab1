//! Whether a file is still the one that it was.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Stat};

/// Which file something is, and when it last changed.
///
/// Two stamps of a file that are equal mean that its content is the same, but for two changes within one tick of the file system's
/// clock (some milliseconds), and but for whoever sets the clock back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    pub(super) modified: (i64, u64),
    changed: (i64, u64),
}

impl Stamp {
    #[expect(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "these types differ between systems")]
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }

    /// Of the plain file `name` in a folder; `None`: there is none.
    pub fn find(folder: impl AsFd, name: &str) -> Option<Self> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| Self::of(&stat))
    }

    /// Whether the clock of the file system had moved on by `moment`: then whatever changes the file later changes its stamp too.
    pub fn is_before(&self, moment: Moment) -> bool {
        // A file system that counts seconds alone would need more than a tick.
        self.changed.1 != 0 && self.changed < moment.0
    }
}

/// A time of the clock that files are stamped by.
#[derive(Clone, Copy, Debug)]
pub struct Moment((i64, u64));

impl Moment {
    /// This one.
    pub fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};
        // Linux stamps files by a clock that moves some hundred times a second.
        #[cfg(target_os = "linux")]
        let clock = ClockId::RealtimeCoarse;
        #[cfg(not(target_os = "linux"))]
        let clock = ClockId::Realtime;
        let now = clock_gettime(clock);
        Self((now.tv_sec, u64::try_from(now.tv_nsec).unwrap_or_default()))
    }
}
