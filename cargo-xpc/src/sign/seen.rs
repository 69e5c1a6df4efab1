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
}

impl FromIterator<(Stamp, Hashes)> for Seen {
    fn from_iter<I: IntoIterator<Item = (Stamp, Hashes)>>(seen: I) -> Self {
        Self(seen.into_iter().collect())
    }
}

/// From this size on it is quicker to wait for a tick of the clock than to read a file twice.
const LARGE: u64 = 1 << 20;
const TICK: Duration = Duration::from_millis(2);
/// How often a large file's turn is put off.
const TICKS: usize = 10;

/// Opens a file for its hashes, and says whether its stamp will tell that it is still the same.
///
/// It will not where the file changed (or got its second name) within the current tick of the clock: a change to come could get the
/// same stamp. So the time is taken before anything is read.
pub(super) fn open(root: &Root, path: &Utf8Path) -> io::Result<(Opened, bool)> {
    let mut ticks = TICKS;
    loop {
        let moment = Moment::now();
        let file = root.file(path)?;
        if !file.is_shared() || file.sniff() == Content::MachO {
            return Ok((file, false));
        }
        let tells = file.stamp().is_before(moment);
        if tells || file.size() < LARGE || ticks == 0 {
            return Ok((file, tells));
        }
        ticks -= 1;
        std::thread::sleep(TICK);
    }
}
