//! The tree, as text.

use std::fmt::Write as _;

use plist::Value;

use super::{Code, Item, Profile, SignatureInfo, SliceInfo};
use crate::macho::CodeFlags;

/// The tree below `item`, for a terminal: one block an item, without a line break at the end.
pub fn render(item: &Item) -> String {
    let mut text = String::new();
    write_item(&mut text, item, "", "");
    text.truncate(text.trim_end().len());
    text
}

fn write_item(text: &mut String, item: &Item, first: &str, rest: &str) {
    let _ = writeln!(text, "{first}{}", headline(item));
    let bar = if item.items.is_empty() { "   " } else { "│  " };
    for (label, value) in facts(item) {
        let _ = writeln!(text, "{rest}{bar}{label:<13} {value}");
    }
    for (index, child) in item.items.iter().enumerate() {
        let last = index + 1 == item.items.len();
        let (corner, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        write_item(text, child, &format!("{rest}{corner}"), &format!("{rest}{below}"));
    }
}

fn headline(item: &Item) -> String {
    let mut line = item.path.to_string();
    if let Some(identifier) = &item.identifier {
        let _ = write!(line, "  {identifier}");
    }
    if let Some(version) = &item.version {
        let _ = write!(line, " {version}");
    }
    if let Some(build) = item.build.as_ref().filter(|build| Some(*build) != item.version.as_ref()) {
        let _ = write!(line, " ({build})");
    }
    if let Some(package_type) = &item.package_type {
        let _ = write!(line, "  {package_type}");
    }
    let _ = write!(line, "  {}", bytes(item.size));
    line
}

fn facts(item: &Item) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(executable) = item.executable.as_ref().filter(|executable| **executable != item.path) {
        let own = executable.strip_prefix(&item.path).unwrap_or(executable);
        facts.push(("executable", own.to_string()));
    }
    match &item.code {
        Code::Missing => facts.push(("code", "no executable".to_owned())),
        Code::Unknown { problem } => facts.push(("code", problem.clone())),
        Code::Elf { machine, entitlements } => {
            facts.push(("code", format!("ELF {machine}")));
            facts.push(("signature", "none: ELF is not signed".to_owned()));
            facts.extend(entitlements.iter().flat_map(list).map(|line| ("entitlement", line)));
        }
        Code::MachO { kind, slices } => {
            let arches: Vec<String> = slices.iter().map(|slice| slice.arch.to_string()).collect();
            facts.push(("code", format!("{kind}, {}", arches.join(" + "))));
            facts.extend(per_slice(slices, target).into_iter().map(|value| ("target", value)));
            facts.extend(per_slice(slices, libraries).into_iter().map(|value| ("libraries", value)));
            facts.extend(per_slice(slices, signature).into_iter().map(|value| ("signature", value)));
            facts.extend(hashes(slices).into_iter().map(|value| ("cdhash", value)));
            facts.extend(
                per_slice(slices, entitlements)
                    .into_iter()
                    .flat_map(|all| all.split('\n').map(|line| ("entitlement", line.to_owned())).collect::<Vec<_>>()),
            );
        }
    }
    facts.extend(item.provisioning_profile.iter().map(|profile| ("profile", profile_line(profile))));
    facts
}

fn profile_line(profile: &Profile) -> String {
    match profile {
        Profile::Read(profile) => profile.to_string(),
        Profile::Problem(why) => format!("cannot be read: {why}"),
    }
}

/// One line where all architectures agree, as they should; else one a piece, with its name.
fn per_slice(slices: &[SliceInfo], describe: impl Fn(&SliceInfo) -> Option<String>) -> Vec<String> {
    let mut lines: Vec<(String, String)> =
        slices.iter().filter_map(|slice| Some((slice.arch.to_string(), describe(slice)?))).collect();
    let same = lines.len() == slices.len() && lines.windows(2).all(|pair| pair[0].1 == pair[1].1);
    if same {
        lines.truncate(1);
        return lines.into_iter().map(|(_, line)| line).collect();
    }
    lines.into_iter().map(|(arch, line)| format!("{arch}: {line}")).collect()
}

fn target(slice: &SliceInfo) -> Option<String> {
    let target = slice.target?;
    Some(format!("{} {} or later, SDK {}", target.platform, target.minimum_os, target.sdk))
}

fn libraries(slice: &SliceInfo) -> Option<String> {
    let own = slice.libraries.iter().filter(|library| library.starts_with('@')).count();
    let total = slice.libraries.len();
    Some(match own {
        0 => format!("{total} of the system"),
        own => format!("{} of the system, {own} of the bundle", total - own),
    })
}

fn signature(slice: &SliceInfo) -> Option<String> {
    Some(match &slice.signature {
        SignatureInfo::Unsigned => "none".to_owned(),
        SignatureInfo::Damaged { problem } => problem.clone(),
        SignatureInfo::Signed { identifier, ad_hoc, team_id, flags, .. } => {
            let mut line = match (ad_hoc, team_id) {
                (true, _) if flags.contains(CodeFlags::LINKER_SIGNED) => "ad hoc by the linker".to_owned(),
                (true, _) => "ad hoc".to_owned(),
                (false, Some(team)) => format!("by team {team}"),
                (false, None) => "by a certificate without a team".to_owned(),
            };
            let _ = write!(line, ", as {identifier}");
            let flags = flags.without(CodeFlags::ADHOC).without(CodeFlags::LINKER_SIGNED);
            if !flags.is_empty() {
                let _ = write!(line, ", flags {flags}");
            }
            line
        }
    })
}

fn hashes(slices: &[SliceInfo]) -> Vec<String> {
    let hash = |slice: &SliceInfo| match &slice.signature {
        SignatureInfo::Signed { cdhash, .. } => Some(format!("{cdhash} ({})", slice.arch)),
        _ => None,
    };
    slices.iter().filter_map(hash).collect()
}

fn entitlements(slice: &SliceInfo) -> Option<String> {
    let SignatureInfo::Signed { entitlements: Some(entitlements), .. } = &slice.signature else { return None };
    Some(list(entitlements).join("\n")).filter(|text| !text.is_empty())
}

fn list(entitlements: &plist::Dictionary) -> Vec<String> {
    entitlements.iter().map(|(key, value)| format!("{key} = {}", short(value))).collect()
}

fn short(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::String(value) => format!("\"{value}\""),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => value.to_string(),
        Value::Array(values) => format!("[{}]", values.iter().map(short).collect::<Vec<_>>().join(", ")),
        Value::Dictionary(values) => {
            let pair = |(key, value): (&String, &Value)| format!("{key} = {}", short(value));
            format!("{{{}}}", values.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Value::Data(data) => format!("{} bytes", data.len()),
        _ => "…".to_owned(),
    }
}

/// A size with three digits at most.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let (mut scaled, mut unit) = (count as f64 / 1000.0, 0);
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    if scaled < 9.95 { format!("{scaled:.1} {}", UNITS[unit]) } else { format!("{scaled:.0} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (49_664, "50 kB"),
            (999_700, "1.0 MB"),
            (12_345_678, "12 MB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
