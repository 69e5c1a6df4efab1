//! Single changes to a signed bundle, each of which can be made and taken back in place.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_xpc::bundle::tree;
use cargo_xpc::macho::{MachFile, Slice, slot};

use crate::fixture::{link, write};

/// One change. Paths are relative to the bundle.
#[derive(Clone, Debug)]
pub struct Change {
    /// The row of the report.
    pub class: &'static str,
    pub path: Utf8PathBuf,
    pub act: Act,
}

#[derive(Clone, Debug)]
pub enum Act {
    /// Flips a bit.
    Flip {
        at: u64,
        mask: u8,
    },
    Add(Added),
    Remove,
    Rename(String),
    /// Makes a symlink point elsewhere.
    Relink(String),
    /// Puts a symlink, or an empty file, in the place of what is there.
    Become(Added),
    /// Flips the executable bits.
    Mode,
    /// Replaces a bundle by another.
    Swap(Utf8PathBuf),
}

#[derive(Clone, Debug)]
pub enum Added {
    File(Vec<u8>),
    Program(Vec<u8>),
    Symlink(&'static str),
    Folder,
}

impl Added {
    fn make(&self, path: &Utf8Path) {
        match self {
            Self::File(bytes) => write(path, bytes),
            Self::Program(bytes) => crate::fixture::program(path, bytes),
            Self::Symlink(target) => link(path, target),
            Self::Folder => fs_err::create_dir(path).unwrap(),
        }
    }
}

impl Change {
    fn new(class: &'static str, path: &str, act: Act) -> Self {
        Self { class, path: path.into(), act }
    }

    /// Makes the change in the bundle at `root`; the answer takes it back.
    pub fn make(&self, root: &Utf8Path) -> Box<dyn FnOnce()> {
        let path = root.join(&self.path);
        let aside = root.parent().unwrap().join("aside");
        let back = |aside: Utf8PathBuf, path: Utf8PathBuf| -> Box<dyn FnOnce()> {
            Box::new(move || {
                tree::remove(&path).unwrap();
                fs_err::rename(aside, path).unwrap();
            })
        };
        match &self.act {
            Act::Flip { at, mask } => {
                let (at, mask) = (*at, *mask);
                flip(&path, at, mask);
                Box::new(move || flip(&path, at, mask))
            }
            Act::Add(added) => {
                added.make(&path);
                Box::new(move || tree::remove(&path).unwrap())
            }
            Act::Remove => {
                fs_err::rename(&path, &aside).unwrap();
                back(aside, path)
            }
            Act::Rename(name) => {
                let other = path.with_file_name(name);
                fs_err::rename(&path, &other).unwrap();
                Box::new(move || fs_err::rename(other, path).unwrap())
            }
            Act::Relink(target) => {
                fs_err::rename(&path, &aside).unwrap();
                link(&path, target);
                back(aside, path)
            }
            Act::Become(added) => {
                fs_err::rename(&path, &aside).unwrap();
                added.make(&path);
                back(aside, path)
            }
            Act::Mode => {
                let permissions = fs_err::metadata(&path).unwrap().permissions();
                let other = std::fs::Permissions::from_mode(permissions.mode() ^ 0o111);
                fs_err::set_permissions(&path, other).unwrap();
                Box::new(move || fs_err::set_permissions(path, permissions).unwrap())
            }
            Act::Swap(other) => {
                fs_err::rename(&path, &aside).unwrap();
                tree::copy(other, &path).unwrap();
                back(aside, path)
            }
        }
    }
}

fn flip(path: &Utf8Path, at: u64, mask: u8) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ mask], at).unwrap();
}

/// Every change to the bundle at `root`, which `swaps` of its bundles can be replaced in.
pub fn all(root: &Utf8Path, swaps: &[(&str, Utf8PathBuf)]) -> Vec<Change> {
    let mut changes = Vec::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = Utf8Path::from_path(entry.path()).unwrap();
        let name = path.strip_prefix(root).unwrap().as_str();
        if entry.file_type().is_dir() {
            additions(name, &mut changes);
        } else if entry.file_type().is_symlink() {
            changes.push(Change::new("symlink led elsewhere", name, Act::Relink("../elsewhere".to_owned())));
            changes.push(Change::new("symlink led out", name, Act::Relink("../../../../../../etc/passwd".to_owned())));
            changes.push(Change::new("symlink made a file", name, Act::Become(Added::File(Vec::new()))));
        } else {
            changes.push(Change::new("executable or not", name, Act::Mode));
            changes.push(Change::new("file made a symlink", name, Act::Become(Added::Symlink("elsewhere"))));
            changes.push(Change::new("file made a folder", name, Act::Become(Added::Folder)));
            let bytes = fs_err::read(path).unwrap();
            match MachFile::parse(&bytes) {
                Ok(file) => flips(name, &bytes, &file, &mut changes),
                Err(_) => {
                    let middle = bytes.len() / 2;
                    for at in (0..bytes.len()).filter(|at| *at == middle || at % 4096 == 4095) {
                        let act = Act::Flip { at: at as u64, mask: 1 << (at % 8) };
                        changes.push(Change::new("bit in a page of another file", name, act));
                    }
                }
            }
        }
        // The executable's own folders and the seal come and go like all else.
        changes.push(Change::new("entry removed", name, Act::Remove));
        let other = format!("{}x", path.file_name().unwrap());
        changes.push(Change::new("entry renamed", name, Act::Rename(other)));
    }
    additions("", &mut changes);
    for (name, other) in swaps {
        changes.push(Change::new("bundle swapped for another signed one", name, Act::Swap(other.clone())));
    }
    changes
}

fn additions(folder: &str, changes: &mut Vec<Change>) {
    let mut add = |class, name: &str, added| {
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        changes.push(Change::new(class, &path, Act::Add(added)));
    };
    add("file added", "added.txt", Added::File(b"added".to_vec()));
    add("file added", "added", Added::File(Vec::new()));
    add("program added", "program", Added::Program(crate::fixture::TOOL_ARM.to_vec()));
    add("program added", "script.sh", Added::Program(b"#!/bin/sh\n".to_vec()));
    add("symlink added", "added-link", Added::Symlink("added-target"));
    add("symlink added", "out-link", Added::Symlink("../../../../../../../../../etc/passwd"));
    add("folder added", "folder", Added::Folder);
    add("folder added", "folder.d", Added::Folder);
    add("file of Finder added", ".DS_Store", Added::File(b"finder".to_vec()));
    add("file of Finder added", "._added", Added::File(b"finder".to_vec()));
}

/// A bit in every page of a Mach-O file, in its headers, in every load command, and in every part of every signature.
fn flips(name: &str, bytes: &[u8], file: &MachFile, changes: &mut Vec<Change>) {
    let mut flip = |class, at: usize| {
        // Low bits and high ones, the same in every run.
        let act = Act::Flip { at: at as u64, mask: 1 << (at / 4 % 8) };
        changes.push(Change::new(class, name, act));
    };
    for page in (0..bytes.len()).step_by(4096) {
        flip("bit in a page of 4 KiB", (page + 1234).min(bytes.len() - 1));
    }
    if file.slices.len() > 1 {
        for at in (0..8 + 20 * file.slices.len()).step_by(4) {
            flip("bit in a universal header", at + at / 4 % 4);
        }
    }
    for slice in &file.slices {
        for at in (slice.range.start..slice.range.start + 32).step_by(4) {
            flip("bit in a Mach-O header", at + at / 4 % 4);
        }
        for command in commands(bytes, slice) {
            // Its kind, its size, and what follows.
            for at in [command.start, command.start + 4].into_iter().chain(command.skip(8).step_by(16)) {
                flip("bit in a load command", at + at / 4 % 4);
            }
        }
        let Some(signature) = slice.read_signature(bytes).unwrap() else { continue };
        let start = slice.range.start + slice.signature.clone().unwrap().start;
        for at in (start..start + 12 + 8 * signature.blobs.len()).step_by(4) {
            flip("bit in a table of blobs", at + at / 4 % 4);
        }
        for blob in &signature.blobs {
            let class = match blob.slot {
                slot::CODE_DIRECTORY => "bit in a code directory",
                slot::ALTERNATES..slot::ALTERNATES_END => "bit in an alternate code directory",
                slot::REQUIREMENTS => "bit in requirements",
                slot::ENTITLEMENTS => "bit in entitlements",
                slot::ENTITLEMENTS_DER => "bit in entitlements in DER",
                slot::CMS => "bit in a CMS signature",
                8..=11 => "bit in a launch constraint",
                _ => "bit in another blob",
            };
            let range = start + blob.range.start..start + blob.range.end;
            // Every word of its fields, and of what follows a bit in each hash.
            let fields = range.clone().take(96).step_by(4).map(|at| at + at / 4 % 4);
            for at in fields.chain(range.clone().skip(96).step_by(16)).chain([range.end - 1]) {
                flip(class, at.min(range.end - 1));
            }
        }
        for at in (start + signature.length..start + signature.reserved).step_by(997).chain([slice.range.end - 1]) {
            flip("bit in the padding of a signature", at);
        }
    }
}

/// Where each load command of a 64-bit image of this byte order stands in the file.
pub fn commands(bytes: &[u8], slice: &Slice) -> Vec<std::ops::Range<usize>> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let count = word(slice.range.start + 16);
    let mut at = slice.range.start + 32;
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(at..at + word(at + 4));
        at += word(at + 4);
    }
    assert_eq!(at, slice.range.start + slice.commands_end);
    found
}
