//! From bytes to [`MachFile`], on top of the `object` crate, which checks each structure's own bounds.

use std::fmt::Display;
use std::ops::Range;

use object::Endianness;
use object::macho::{self, MachHeader32, MachHeader64};
use object::read::macho::{FatArch, LoadCommandVariant, MachHeader, MachOFatFile, Section, Segment as _};

use super::types::{Arch, FileKind, Library, LinkKind, Platform, Segment, Target, Version};
use super::{Container, Content, MachFile, MachProblem, Slice, sniff};

/// More architectures than any file has. Java's class files start at 45.
const MAX_SLICES: usize = 44;

pub(super) fn file(data: &[u8]) -> Result<MachFile, MachProblem> {
    match sniff(data) {
        Content::MachO => {}
        Content::Elf(machine) => return Err(MachProblem::Elf(machine)),
        Content::Other => return Err(MachProblem::NotMachO),
    }
    match data.first_chunk::<4>().map(|magic| u32::from_be_bytes(*magic)) {
        Some(macho::FAT_MAGIC) => fat::<macho::FatArch32>(data, Container::Fat32),
        Some(macho::FAT_MAGIC_64) => fat::<macho::FatArch64>(data, Container::Fat64),
        _ => Ok(MachFile { container: Container::Thin, slices: vec![slice(data, 0..data.len())?] }),
    }
}

fn damaged(what: impl Display) -> MachProblem {
    MachProblem::Damaged(what.to_string())
}

fn fat<F: FatArch>(data: &[u8], container: Container) -> Result<MachFile, MachProblem> {
    let fat = MachOFatFile::<F>::parse(data).map_err(damaged)?;
    if fat.arches().is_empty() || fat.arches().len() > MAX_SLICES {
        return Err(damaged(format!("{} architectures", fat.arches().len())));
    }
    let mut slices: Vec<Slice> = Vec::new();
    for entry in fat.arches() {
        let range = range(entry.offset().into(), entry.size().into(), data.len())
            .ok_or_else(|| damaged("an architecture lies outside of the file"))?;
        if slices.iter().any(|other| range.start < other.range.end && other.range.start < range.end) {
            return Err(damaged("two architectures overlap"));
        }
        let slice = slice(data, range)?;
        let named = Arch { cpu: entry.cputype().0, subtype: entry.cpusubtype().0 };
        if !named.same_as(slice.arch) {
            return Err(damaged(format!("the header says {named} and the code {}", slice.arch)));
        }
        // Readers differ in which of them they take.
        if slices.iter().any(|other: &Slice| other.arch.same_as(slice.arch)) {
            return Err(damaged(format!("two architectures {named}")));
        }
        slices.push(slice);
    }
    Ok(MachFile { container, slices })
}

/// `start..start + length`, if that lies within `limit`.
fn range(start: u64, length: u64, limit: usize) -> Option<Range<usize>> {
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    (end <= limit).then_some(start..end)
}

fn slice(file: &[u8], range: Range<usize>) -> Result<Slice, MachProblem> {
    let data = file.get(range.clone()).unwrap_or_default();
    match data.first_chunk::<4>().map(|magic| u32::from_be_bytes(*magic)) {
        Some(0xfeed_face | 0xcefa_edfe) => thin::<MachHeader32<Endianness>>(data, range),
        Some(0xfeed_facf | 0xcffa_edfe) => thin::<MachHeader64<Endianness>>(data, range),
        _ => Err(damaged("an architecture that is no Mach-O image")),
    }
}

fn thin<M: MachHeader<Endian = Endianness>>(data: &[u8], range: Range<usize>) -> Result<Slice, MachProblem> {
    let header = M::parse(data, 0).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let commands_size = usize::try_from(header.sizeofcmds(endian)).map_err(damaged)?;
    let mut slice = Slice {
        range,
        arch: Arch { cpu: header.cputype(endian).0, subtype: header.cpusubtype(endian).0 },
        kind: FileKind::from(header.filetype(endian).0),
        target: None,
        install_name: None,
        libraries: Vec::new(),
        rpaths: Vec::new(),
        uuid: None,
        entry: None,
        segments: Vec::new(),
        commands_end: size_of::<M>().saturating_add(commands_size),
        first_section: None,
        lowest_section: None,
        signature: None,
        info_plist: None,
    };
    let mut commands = header.load_commands(endian, data, 0).map_err(damaged)?;
    let mut oldest_target = None;
    while let Some(command) = commands.next().map_err(damaged)? {
        let text = |string| command.string(endian, string).map(|text| String::from_utf8_lossy(text).into_owned());
        match command.variant().map_err(damaged)? {
            LoadCommandVariant::Segment32(..) | LoadCommandVariant::Segment64(..) => {
                segment::<M>(&mut slice, command, endian, data)?;
            }
            LoadCommandVariant::Dylib(dylib) => slice.libraries.push(Library {
                path: text(dylib.dylib.name).map_err(damaged)?,
                kind: match command.cmd() {
                    macho::LC_LOAD_WEAK_DYLIB => LinkKind::Weak,
                    macho::LC_REEXPORT_DYLIB => LinkKind::Reexport,
                    macho::LC_LOAD_UPWARD_DYLIB => LinkKind::Upward,
                    macho::LC_LAZY_LOAD_DYLIB => LinkKind::Lazy,
                    _ => LinkKind::Required,
                },
            }),
            LoadCommandVariant::IdDylib(dylib) => slice.install_name = Some(text(dylib.dylib.name).map_err(damaged)?),
            LoadCommandVariant::Rpath(rpath) => slice.rpaths.push(text(rpath.path).map_err(damaged)?),
            LoadCommandVariant::EntryPoint(main) if slice.entry.is_none() => {
                slice.entry = Some(main.entryoff.get(endian));
            }
            LoadCommandVariant::Uuid(uuid) => slice.uuid = Some(uuid.uuid),
            LoadCommandVariant::BuildVersion(build, _) if slice.target.is_none() => {
                slice.target = Some(Target {
                    platform: Platform::from(build.platform.get(endian).0),
                    minimum_os: Version(build.minos.get(endian).0),
                    sdk: Version(build.sdk.get(endian).0),
                });
            }
            LoadCommandVariant::VersionMin(minimum) if oldest_target.is_none() => {
                oldest_target = Some(Target {
                    platform: match command.cmd() {
                        macho::LC_VERSION_MIN_IPHONEOS => Platform::Ios,
                        macho::LC_VERSION_MIN_TVOS => Platform::TvOs,
                        macho::LC_VERSION_MIN_WATCHOS => Platform::WatchOs,
                        _ => Platform::MacOs,
                    },
                    minimum_os: Version(minimum.version.get(endian).0),
                    sdk: Version(minimum.sdk.get(endian).0),
                });
            }
            LoadCommandVariant::LinkeditData(linkedit) if command.cmd() == macho::LC_CODE_SIGNATURE => {
                if slice.signature.is_some() {
                    return Err(damaged("two signatures"));
                }
                let (start, size) = (linkedit.dataoff.get(endian), linkedit.datasize.get(endian));
                let range = self::range(start.into(), size.into(), data.len());
                slice.signature = Some(range.ok_or_else(|| damaged("its signature lies outside of the file"))?);
            }
            _ => {}
        }
    }
    slice.target = slice.target.or(oldest_target);
    Ok(slice)
}

fn segment<M: MachHeader<Endian = Endianness>>(
    slice: &mut Slice,
    command: object::read::macho::LoadCommandData<'_, Endianness>,
    endian: Endianness,
    data: &[u8],
) -> Result<(), MachProblem> {
    let Some((segment, section_data)) = M::Segment::from_command(command).map_err(damaged)? else {
        return Err(damaged("a segment of the other word size"));
    };
    let name = String::from_utf8_lossy(segment.name()).into_owned();
    let (offset, size) = segment.file_range(endian);
    if range(offset, size, data.len()).is_none() {
        return Err(damaged(format!("segment {name} lies outside of the file")));
    }
    for section in segment.sections(endian, section_data).map_err(damaged)? {
        let offset = u64::from(section.offset(endian));
        slice.first_section.get_or_insert(offset);
        if offset != 0 {
            slice.lowest_section = Some(slice.lowest_section.map_or(offset, |lowest| lowest.min(offset)));
        }
        if name == "__TEXT" && section.name() == b"__info_plist" {
            let place = range(offset, section.size(endian).into(), data.len());
            slice.info_plist = Some(place.ok_or_else(|| damaged("section __info_plist lies outside of the file"))?);
        }
    }
    slice.segments.push(Segment { name, address: segment.vmaddr(endian).into(), offset, size });
    Ok(())
}
