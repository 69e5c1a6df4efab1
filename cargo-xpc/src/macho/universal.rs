//! One universal file out of thin ones: what `lipo -create` does, in-process.

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use super::{Arch, MachError, MachFile, MachProblem, parse};

/// Why files could not be merged.
#[derive(Debug, Error)]
pub enum UniversalError {
    /// An input could not be read as Mach-O.
    #[error(transparent)]
    Input(#[from] MachError),
    /// An input could not be read as Mach-O; it was given as bytes.
    #[error("input {index} {problem}")]
    Bytes {
        /// Which input, from 0.
        index: usize,
        /// What is wrong with it.
        problem: MachProblem,
    },
    /// The same architecture came twice.
    #[error("two inputs hold {arch}: give each architecture once")]
    Duplicate {
        /// The architecture.
        arch: Arch,
    },
    /// Nothing to merge.
    #[error("no Mach-O file to merge")]
    Empty,
    /// Offsets in the header have 32 bits.
    #[error("the merged file would be larger than 4 GiB")]
    TooLarge,
    /// The result could not be written. The message names the file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Merges the files at `inputs` into one at `output`, which becomes as executable as the first input.
///
/// Inputs may be universal themselves. A single architecture gives a thin file, since some tools stumble over universal files of one.
/// The output is written beside its place and renamed, so that it is either whole or not there.
pub fn merge_files(inputs: &[Utf8PathBuf], output: &Utf8Path) -> Result<Vec<Arch>, UniversalError> {
    let mut files = Vec::new();
    for path in inputs {
        files.push(MachFile::load(path)?);
    }
    let mut slices = Vec::new();
    for (data, file) in &files {
        slices.extend(file.slices.iter().map(|slice| (slice.arch, slice.bytes(data))));
    }
    let (merged, arches) = assemble(slices)?;
    let first = inputs.first().ok_or(UniversalError::Empty)?;
    let mode = fs_err::metadata(first)?.permissions();
    let folder = output.parent().filter(|parent| !parent.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    let temporary = tempfile::Builder::new().prefix(".universal-").tempfile_in(folder)?;
    fs_err::write(temporary.path(), merged)?;
    fs_err::set_permissions(temporary.path(), mode)?;
    temporary.persist(output).map_err(|error| error.error)?;
    Ok(arches)
}

/// Merges `inputs`, each one whole Mach-O file.
pub fn merge(inputs: &[&[u8]]) -> Result<Vec<u8>, UniversalError> {
    let mut slices = Vec::new();
    for (index, data) in inputs.iter().enumerate() {
        let file = parse::file(data).map_err(|problem| UniversalError::Bytes { index, problem })?;
        slices.extend(file.slices.iter().map(|slice| (slice.arch, slice.bytes(data))));
    }
    assemble(slices).map(|(merged, _)| merged)
}

/// Lays the slices out in an order of their own, so that the order of inputs does not show in the result: x86_64 before arm64, as
/// `lipo` and Xcode have it.
fn assemble(mut slices: Vec<(Arch, &[u8])>) -> Result<(Vec<u8>, Vec<Arch>), UniversalError> {
    slices.sort_by_key(|(arch, _)| *arch);
    if let Some(pair) = slices.windows(2).find(|pair| pair[0].0.same_as(pair[1].0)) {
        return Err(UniversalError::Duplicate { arch: pair[0].0 });
    }
    let arches = slices.iter().map(|(arch, _)| *arch).collect();
    let merged = match slices.as_slice() {
        [] => return Err(UniversalError::Empty),
        [(_, only)] => only.to_vec(),
        several => lay_out(several)?,
    };
    Ok((merged, arches))
}

fn lay_out(slices: &[(Arch, &[u8])]) -> Result<Vec<u8>, UniversalError> {
    const FAT_MAGIC: u32 = 0xcafe_babe;
    let number = |value: usize| u32::try_from(value).map_err(|_| UniversalError::TooLarge);
    let mut header = Vec::new();
    for word in [FAT_MAGIC, number(slices.len())?] {
        header.extend(word.to_be_bytes());
    }
    let mut offset = header.len() + 20 * slices.len();
    let mut places = Vec::new();
    for (arch, data) in slices {
        let align = alignment(*arch);
        offset = offset.next_multiple_of(1 << align);
        for word in [arch.cpu, arch.subtype, number(offset)?, number(data.len())?, align] {
            header.extend(word.to_be_bytes());
        }
        places.push((offset, *data));
        offset += data.len();
    }
    number(offset)?;
    let mut merged = header;
    for (offset, data) in places {
        merged.resize(offset, 0);
        merged.extend_from_slice(data);
    }
    Ok(merged)
}

/// The page size of the machine, as a power of two: the kernel maps a slice where it stands in the file.
fn alignment(arch: Arch) -> u32 {
    match arch.cpu {
        cpu if cpu == Arch::ARM64.cpu => 14,
        12 => 14,
        _ => 12,
    }
}
