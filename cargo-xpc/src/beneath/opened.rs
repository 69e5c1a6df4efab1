//! Reading one file, which may be changing.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use camino::Utf8PathBuf;
use rustix::fs::{FileType, Mode, Stat};

use super::{Stamp, named};
use crate::macho::{Content, sniff};

/// How much is read at a time: what is hashed should still be in the processor's own memory.
pub(super) const BUFFER: usize = 64 * 1024;
/// What the start of a file says of it is in so many bytes.
pub(super) const START: usize = 20;

/// A plain file, opened once, and its first bytes.
#[derive(Debug)]
pub struct Opened {
    path: Utf8PathBuf,
    file: File,
    buffer: Buffer,
    /// So much of the buffer is used.
    room: usize,
    filled: usize,
    stat: Stat,
}

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What is read at a time. A thread reads thousands of files with the same one, one after the other.
#[derive(Debug)]
struct Buffer(Vec<u8>);

impl Buffer {
    fn new() -> Self {
        let mut spare = SPARE.take();
        spare.resize(BUFFER, 0);
        Self(spare)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        SPARE.set(std::mem::take(&mut self.0));
    }
}

impl Opened {
    pub(super) fn start(mut file: File, path: Utf8PathBuf) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&file).map_err(|error| named(&path, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(named(&path, io::Error::other("it is no file that one can read")));
        }
        // One byte more than a small file has: a read that leaves it free has met the end.
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let room = usize::try_from(size.saturating_add(1)).map_or(BUFFER, |room| room.min(BUFFER));
        let mut buffer = Buffer::new();
        let mut filled = 0;
        while filled < START.min(room) {
            match file.read(&mut buffer.0[filled..room]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(named(&path, error)),
            }
        }
        Ok(Self { path, file, buffer, room, filled, stat })
    }

    /// What its first bytes promise.
    pub fn sniff(&self) -> Content {
        sniff(self.first())
    }

    /// Its first bytes, 20 at the most.
    pub fn first(&self) -> &[u8] {
        &self.buffer.0[..self.filled.min(START)]
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or_default()
    }

    /// Which file it was when it was opened.
    pub fn stamp(&self) -> Stamp {
        Stamp::of(&self.stat)
    }

    /// Whether it has other names.
    pub fn is_shared(&self) -> bool {
        self.stat.st_nlink > 1
    }

    /// Its permissions.
    pub fn mode(&self) -> Mode {
        Mode::from_raw_mode(self.stat.st_mode)
    }

    /// All of it.
    ///
    /// # Errors
    /// Where it cannot be read, or changes meanwhile.
    pub fn read(self) -> io::Result<Vec<u8>> {
        let (size, filled) = (self.size(), self.filled);
        let mut data = Vec::new();
        let is_whole = filled < self.room && filled as u64 == size;
        let rest = if is_whole { 0 } else { size.saturating_add(1).saturating_sub(filled as u64) };
        data.reserve_exact(filled.saturating_add(usize::try_from(rest).unwrap_or(0)));
        data.extend_from_slice(&self.buffer.0[..filled]);
        if !is_whole {
            (&self.file).take(rest).read_to_end(&mut data).map_err(|error| named(&self.path, error))?;
        }
        self.unchanged(data.len() as u64)?;
        Ok(data)
    }

    /// The file, from its start.
    ///
    /// # Errors
    /// Where that cannot be found.
    pub fn into_file(mut self) -> io::Result<File> {
        self.file.seek(io::SeekFrom::Start(0)).map_err(|error| named(&self.path, error))?;
        Ok(self.file)
    }

    /// All of it, piece by piece.
    ///
    /// # Errors
    /// Where it cannot be read, or changes meanwhile.
    pub fn pieces(mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let size = self.size();
        let mut count = 0;
        loop {
            take(&self.buffer.0[..self.filled]);
            count += self.filled as u64;
            if self.filled == 0 || count > size || (count == size && self.filled < self.room) {
                return self.unchanged(count);
            }
            self.filled = loop {
                match self.file.read(&mut self.buffer.0[..self.room]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read.map_err(|error| named(&self.path, error))?,
                }
            };
        }
    }

    /// Whether so many bytes are what was there at first, and still is. A new name, which changes the inode too, is no new content.
    fn unchanged(&self, count: u64) -> io::Result<()> {
        let now = rustix::fs::fstat(&self.file).map_err(|error| named(&self.path, error))?;
        let (before, now) = (self.stamp(), Stamp::of(&now));
        if count == before.size && (before.size, before.modified) == (now.size, now.modified) {
            return Ok(());
        }
        let path = &self.path;
        Err(io::Error::other(format!("`{path}` changed while it was read; run again when nothing writes to it")))
    }
}
