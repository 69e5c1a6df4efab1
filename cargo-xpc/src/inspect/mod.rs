//! What is in a bundle, as a tree for a person to look at. It judges nothing: what cannot be read is said in its place.

mod render;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use thiserror::Error;

use crate::anatomy::{self, Anatomy, AnatomyError, Versions};
use crate::beneath::{Opened, Root};
use crate::exit::{Coded, Exit};
use crate::macho::{Arch, CdHash, CodeFlags, Content, FileKind, HashKind, MachFile, Slice, Target, sniff};
use crate::plan::ENTITLEMENTS;
use crate::property_list;
use crate::provisioning::{self, Provisioning};
use crate::verify::read_profile;

pub use self::render::render;

/// Folders are not followed deeper than this.
const MAX_DEPTH: usize = 64;

/// Why there is nothing to show.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct InspectError(#[from] AnatomyError);

impl From<std::io::Error> for InspectError {
    fn from(error: std::io::Error) -> Self {
        Self(error.into())
    }
}

impl Coded for InspectError {
    fn exit_code(&self) -> Exit {
        match self.0 {
            AnatomyError::Io(_) => Exit::Io,
            _ => Exit::Usage,
        }
    }
}

/// A bundle, or a piece of code without one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Item {
    /// Relative to the outermost bundle; its own is its name.
    pub path: Utf8PathBuf,
    /// `CFBundleIdentifier`.
    pub identifier: Option<String>,
    /// `CFBundleShortVersionString`.
    pub version: Option<String>,
    /// `CFBundleVersion`.
    pub build: Option<String>,
    /// `CFBundlePackageType`.
    pub package_type: Option<String>,
    /// The Mach-O file, relative to the outermost bundle.
    pub executable: Option<Utf8PathBuf>,
    /// What that file is.
    pub code: Code,
    /// The provisioning profile that stands in the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_profile: Option<Profile>,
    /// Bytes in all files.
    pub size: u64,
    /// Bundles and code within.
    pub items: Vec<Item>,
}

/// What an executable turned out to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", tag = "format")]
pub enum Code {
    /// For Apple's systems.
    MachO {
        /// Program, library, …
        kind: FileKind,
        /// One for each architecture.
        slices: Vec<SliceInfo>,
    },
    /// For another system; never signed.
    Elf {
        /// The processor.
        machine: String,
        /// What its bundle says that it may do.
        #[serde(skip_serializing_if = "Option::is_none")]
        entitlements: Option<plist::Dictionary>,
    },
    /// Neither.
    Unknown {
        /// Why it could not be read.
        problem: String,
    },
    /// None is named, or none is there.
    Missing,
}

/// A provisioning profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// What it says.
    Read(Provisioning),
    /// Why it cannot be read.
    Problem(String),
}

/// One architecture.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SliceInfo {
    /// The architecture.
    pub arch: Arch,
    /// Platform, minimum system, SDK.
    pub target: Option<Target>,
    /// Install names of the linked libraries.
    pub libraries: Vec<String>,
    /// Where `@rpath` is looked for.
    pub rpaths: Vec<String>,
    /// Its signature.
    pub signature: SignatureInfo,
}

/// A signature in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", tag = "state")]
pub enum SignatureInfo {
    /// There is none.
    Unsigned,
    /// It cannot be read.
    Damaged {
        /// Why not.
        problem: String,
    },
    /// There is one.
    Signed {
        /// The name in it.
        identifier: String,
        /// No certificate stands behind it.
        ad_hoc: bool,
        /// The signer's team.
        team_id: Option<String>,
        /// All flags.
        flags: CodeFlags,
        /// The code's identity.
        cdhash: CdHash,
        /// The hashes in use.
        hashes: Vec<HashKind>,
        /// What the program may do.
        entitlements: Option<plist::Dictionary>,
    },
}

/// Reads the bundle at `root`.
///
/// # Errors
/// Where `root` is no bundle, or a folder cannot be listed.
pub fn inspect(root: &Utf8Path) -> Result<Item, InspectError> {
    let inspector = Inspector { root: anatomy::open(root)? };
    let name = Utf8PathBuf::from(root.file_name().unwrap_or(root.as_str()));
    let top = Utf8Path::new("");
    let mut item = match Versions::find(&inspector.root, top)? {
        Some(versions) => inspector.framework(top, &versions, 0)?,
        None => inspector.bundle(&Anatomy::read(&inspector.root, top)?, 0)?,
    };
    item.path = name;
    Ok(item)
}

struct Inspector {
    root: Root,
}

impl Inspector {
    fn bundle(&self, anatomy: &Anatomy, depth: usize) -> Result<Item, InspectError> {
        let string = |key: &str| anatomy.string(key).map(str::to_owned);
        let executable = anatomy.executable();
        let code = match &executable {
            Some(path) if self.root.is_file(path)? => self.beside(anatomy, read_code(self.root.file(path))),
            _ => Code::Missing,
        };
        let mut items = Vec::new();
        self.folder(&anatomy.root, executable.as_deref(), &mut items, depth + 1)?;
        Ok(Item {
            path: anatomy.root.clone(),
            identifier: string("CFBundleIdentifier"),
            version: string("CFBundleShortVersionString"),
            build: string("CFBundleVersion"),
            package_type: string("CFBundlePackageType"),
            executable,
            code,
            provisioning_profile: self.profile(&anatomy.content)?,
            size: self.size_of_folder(&anatomy.root),
            items,
        })
    }

    fn profile(&self, content: &Utf8Path) -> Result<Option<Profile>, InspectError> {
        let path = content.join(provisioning::FILE);
        if !self.root.is_file(&path)? {
            return Ok(None);
        }
        let read = self.root.read(&path).map_err(|error| error.to_string()).and_then(|bytes| read_profile(&bytes));
        Ok(Some(read.map_or_else(Profile::Problem, Profile::Read)))
    }

    /// A framework is shown as its current version; the others stand within it.
    fn framework(&self, path: &Utf8Path, versions: &Versions, depth: usize) -> Result<Item, InspectError> {
        let mut items = Vec::new();
        let mut shown = None;
        for version in &versions.all {
            let Some(anatomy) = Anatomy::find(&self.root, version)? else { continue };
            let item = self.bundle(&anatomy, depth + 1)?;
            if Some(version) == versions.current.as_ref() {
                shown = Some(item);
            } else {
                items.push(item);
            }
        }
        let mut item = shown.ok_or_else(|| AnatomyError::NotABundle(self.root.shown(path)))?;
        item.path = path.to_owned();
        item.size = self.size_of_folder(path);
        item.items.extend(items);
        Ok(item)
    }

    /// Looks for bundles and code, in the order of their names.
    fn folder(
        &self,
        folder: &Utf8Path,
        own: Option<&Utf8Path>,
        items: &mut Vec<Item>,
        depth: usize,
    ) -> Result<(), InspectError> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        for (name, kind) in self.root.list(folder)? {
            let name = name.into_string().map_err(|name| {
                let path = self.root.shown(folder).join(&*name.to_string_lossy());
                std::io::Error::new(std::io::ErrorKind::InvalidData, format!("`{path}` is not valid UTF-8"))
            })?;
            let path = folder.join(name);
            if kind.is_dir() {
                let named = path.file_name().is_some_and(|name| name.contains('.'));
                if named && path.extension() == Some("dSYM") {
                    continue;
                }
                match self.nested(&path, named, depth)? {
                    Some(item) => items.push(item),
                    None => self.folder(&path, own, items, depth + 1)?,
                }
            } else if kind.is_file() && Some(path.as_path()) != own {
                items.extend(self.file(&path)?);
            }
        }
        Ok(())
    }

    fn nested(&self, path: &Utf8Path, named: bool, depth: usize) -> Result<Option<Item>, InspectError> {
        if !named {
            return Ok(None);
        }
        if let Some(versions) = Versions::find(&self.root, path)?.filter(|versions| versions.current.is_some()) {
            return self.framework(path, &versions, depth).map(Some);
        }
        match Anatomy::find(&self.root, path) {
            Ok(Some(anatomy)) => self.bundle(&anatomy, depth).map(Some),
            _ => Ok(None),
        }
    }

    /// Code without a bundle; `None` for every other file.
    fn file(&self, path: &Utf8Path) -> Result<Option<Item>, InspectError> {
        let file = self.root.file(path)?;
        if file.sniff() == Content::Other {
            return Ok(None);
        }
        let size = file.size();
        let code = read_code(Ok(file));
        Ok(Some(Item {
            path: path.to_owned(),
            identifier: None,
            version: None,
            build: None,
            package_type: None,
            executable: Some(path.to_owned()),
            code,
            provisioning_profile: None,
            size,
            items: Vec::new(),
        }))
    }

    /// Adds the entitlements that stand in the bundle of a program without a signature.
    fn beside(&self, anatomy: &Anatomy, code: Code) -> Code {
        let Code::Elf { machine, .. } = code else { return code };
        let path = anatomy.root.join("Contents").join(ENTITLEMENTS);
        let shown = self.root.shown(&path);
        let entitlements = match self.root.read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
            Ok(bytes) => property_list::read(&bytes).map(Some).map_err(|why| format!("`{shown}`: {why}")),
        };
        match entitlements {
            Ok(entitlements) => Code::Elf { machine, entitlements },
            Err(problem) => Code::Unknown { problem },
        }
    }

    /// Of all files in it, however deep; what cannot be looked at counts nothing.
    fn size_of_folder(&self, folder: &Utf8Path) -> u64 {
        let (mut size, mut folders) = (0, vec![folder.to_owned()]);
        while let Some(folder) = folders.pop() {
            for (name, kind) in self.root.list(&folder).unwrap_or_default() {
                let Ok(name) = name.into_string() else { continue };
                let path = folder.join(name);
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file()
                    && let Ok(Some(stat)) = self.root.stat(&path)
                {
                    size += u64::try_from(stat.st_size).unwrap_or_default();
                }
            }
        }
        size
    }
}

fn read_code(file: std::io::Result<Opened>) -> Code {
    let unknown = |problem: String| Code::Unknown { problem };
    let data = match file.and_then(Opened::read) {
        Ok(data) => data,
        Err(error) => return unknown(error.to_string()),
    };
    if let Content::Elf(machine) = sniff(&data) {
        return Code::Elf { machine, entitlements: None };
    }
    match MachFile::parse(&data) {
        Err(problem) => unknown(problem.to_string()),
        Ok(file) => {
            Code::MachO { kind: file.kind(), slices: file.slices.iter().map(|slice| describe(slice, &data)).collect() }
        }
    }
}

fn describe(slice: &Slice, data: &[u8]) -> SliceInfo {
    let signature = match slice.read_signature(data) {
        Ok(None) => SignatureInfo::Unsigned,
        Err(problem) => SignatureInfo::Damaged { problem: problem.to_string() },
        Ok(Some(signature)) => match signature.entitlements() {
            Err(problem) => SignatureInfo::Damaged { problem: problem.to_string() },
            Ok(entitlements) => {
                let directory = signature.best_directory();
                SignatureInfo::Signed {
                    identifier: directory.identifier.clone(),
                    ad_hoc: signature.cms().is_none(),
                    team_id: directory.team_id.clone(),
                    flags: directory.flags,
                    cdhash: directory.cdhash,
                    hashes: signature.directories.iter().map(|directory| directory.hash).collect(),
                    entitlements,
                }
            }
        },
    };
    SliceInfo {
        arch: slice.arch,
        target: slice.target,
        libraries: slice.libraries.iter().map(|library| library.path.clone()).collect(),
        rpaths: slice.rpaths.clone(),
        signature,
    }
}
