//! Files that were read for their hashes a moment ago, so that whoever reads the bundle back need not read them again.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use camino::Utf8Path;

use crate::beneath::{Moment, Opened, Root, Stamp};
use crate::macho::Content;

/// Hashes by what the file was then: another content would have another stamp.
///
/// Only files that the old bundle has too, unchanged: what was written in this run is not among them, and no code.
#[derive(Clone, Debug, Default)]
pub struct Seen(HashMap<Stamp, Hashes>);

/// SHA-1 and SHA-256.
pub type Hashes = ([u8; 20], [u8; 32]);

impl Seen {
    /// The hashes of the file with this stamp.
    pub fn hashes(&self, stamp: &Stamp) -> Option<&Hashes> {
        self.0.get(stamp)
    }

    pub(super) fn extend(&mut self, seen: impl IntoIterator<Item = (Stamp, Hashes)>) {
        self.0.extend(seen);
    }
}

/// From this size on it is quicker to wait for a tick of the clock than to read a file twice.
const LARGE: u64 = 1 << 20;
const TICK: Duration = Duration::from_millis(2);
/// How often a large file's turn is put off.
const TICKS: usize = 10;

/// Opens a file for its hashes. With the stamp, where it will tell whether the file is still the same.
///
/// It does not where the file changed (or got its second name) within the current tick of the clock: a change to come could get the
/// same stamp. So the time is taken before anything is read.
pub(super) fn open(root: &Root, path: &Utf8Path) -> io::Result<(Opened, Option<Stamp>)> {
    let mut ticks = TICKS;
    loop {
        let moment = Moment::now();
        let file = root.file(path)?;
        if !file.is_shared() || file.sniff() == Content::MachO {
            return Ok((file, None));
        }
        if file.stamp().is_before(moment) {
            let stamp = file.stamp();
            return Ok((file, Some(stamp)));
        }
        if file.size() < LARGE || ticks == 0 {
            return Ok((file, None));
        }
        ticks -= 1;
        std::thread::sleep(TICK);
    }
}
