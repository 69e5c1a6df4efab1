//! The Info.plist of an app and of a service. See *Information Property List* and `xpcservice.plist(5)`.

use plist::{Dictionary, Value};

use super::PlanError;
use crate::config::{App, BuildNumber, ConfigError, Place, Program, RunLoopType, Service, ServiceType, SystemVersion};

/// An app's Info.plist.
///
/// # Errors
/// Where the user's extra plist contradicts it or holds keys that are Apple's.
pub fn app(app: &App) -> Result<Dictionary, PlanError> {
    let mut plist = common(Common {
        program: &app.program,
        versions_of: app,
        name: app.name.as_str(),
        identifier: app.identifier.as_str(),
        package_type: "APPL",
        minimum: app.minimum_system_version,
    });
    if let Some(icon) = app.icon.as_ref().and_then(|icon| icon.file_stem()) {
        plist.insert("CFBundleIconFile".to_owned(), icon.into());
    }
    if app.ui_element {
        plist.insert("LSUIElement".to_owned(), true.into());
    }
    finish(plist, app.info_plist.as_ref().map(|(_, extra)| extra), &app.program.place("app"))
}

/// A service's Info.plist; it takes the app's versions.
///
/// # Errors
/// As for [`app`].
pub fn service(app: &App, service: &Service) -> Result<Dictionary, PlanError> {
    let mut plist = common(Common {
        program: &service.program,
        versions_of: app,
        name: service.name.as_str(),
        identifier: service.identifier.as_str(),
        package_type: "XPC!",
        minimum: service.minimum_system_version.unwrap_or(app.minimum_system_version),
    });
    plist.insert("XPCService".to_owned(), Value::Dictionary(xpc_service(service)));
    finish(plist, service.info_plist.as_ref().map(|(_, extra)| extra), &service.program.place("service"))
}

/// The `XPCService` dictionary. `ServiceType` and `RunLoopType` are always said, as Xcode's template does for the first;
/// the rest only where it differs from the default.
fn xpc_service(service: &Service) -> Dictionary {
    let mut dictionary = Dictionary::new();
    if !service.environment.is_empty() {
        let variables = service.environment.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())));
        dictionary.insert("EnvironmentVariables".to_owned(), Value::Dictionary(variables.collect()));
    }
    if service.join_existing_session {
        dictionary.insert("JoinExistingSession".to_owned(), true.into());
    }
    let run_loop: RunLoopType = service.run_loop_type;
    dictionary.insert("RunLoopType".to_owned(), run_loop.as_str().into());
    let service_type: ServiceType = service.service_type;
    dictionary.insert("ServiceType".to_owned(), service_type.as_str().into());
    dictionary
}

struct Common<'a> {
    program: &'a Program,
    versions_of: &'a App,
    name: &'a str,
    identifier: &'a str,
    package_type: &'a str,
    minimum: SystemVersion,
}

fn common(of: Common<'_>) -> Dictionary {
    let version = &of.versions_of.program.version;
    let build = of.versions_of.build_number.clone().unwrap_or_else(|| BuildNumber::of(version));
    let text = |value: &str| Value::String(value.to_owned());
    [
        ("CFBundleDevelopmentRegion", text("en")),
        ("CFBundleDisplayName", text(of.name)),
        ("CFBundleExecutable", text(&of.program.bin)),
        ("CFBundleIdentifier", text(of.identifier)),
        ("CFBundleInfoDictionaryVersion", text("6.0")),
        ("CFBundleName", text(of.name)),
        ("CFBundlePackageType", text(of.package_type)),
        ("CFBundleShortVersionString", text(BuildNumber::of(version).as_str())),
        ("CFBundleSupportedPlatforms", Value::Array(vec![text("MacOSX")])),
        ("CFBundleVersion", text(build.as_str())),
        ("LSMinimumSystemVersion", text(&of.minimum.to_string())),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// Keys of ours that the configuration has no word for: the user's value takes the place of the default.
const DEFAULTS: [&str; 2] = ["CFBundleDevelopmentRegion", "CFBundleDisplayName"];

/// A key, what its value has to be, and whether it is that.
type Kind = (&'static str, &'static str, fn(&Value) -> bool);

/// Where the system would not understand just any value of the user's.
const KINDS: [Kind; 3] = [
    ("CFBundleDevelopmentRegion", "a string", |value| value.as_string().is_some()),
    ("CFBundleDisplayName", "a string", |value| value.as_string().is_some()),
    ("LSUIElement", "true or false", |value| value.as_boolean().is_some()),
];

/// Merges the user's keys, refuses what is not theirs to set, sorts.
fn finish(mut plist: Dictionary, extra: Option<&Dictionary>, place: &Place) -> Result<Dictionary, PlanError> {
    if let Some(extra) = extra {
        merge(&mut plist, extra, "", place)?;
    }
    sort(&mut plist);
    Ok(plist)
}

fn merge(into: &mut Dictionary, extra: &Dictionary, path: &str, place: &Place) -> Result<(), ConfigError> {
    for (key, value) in extra {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if key.starts_with('_') && (path.is_empty() || path == "XPCService") {
            let why = format!("`{full}` is private to Apple, like every key that starts with `_`: remove it");
            return Err(place.wrong("info-plist", why));
        }
        if full == "XPCService.EnvironmentVariables" && !is_strings_only(value) {
            let why =
                "`XPCService.EnvironmentVariables` holds something that is not a string; launchd takes strings only";
            return Err(place.wrong("info-plist", why));
        }
        if let Some((_, kind, fits)) = KINDS.iter().find(|(name, ..)| *name == full)
            && !fits(value)
        {
            let why = format!("`{full}` is {} there and must be {kind}", short(value));
            return Err(place.wrong("info-plist", why));
        }
        match (into.get_mut(key), value) {
            (None, _) => {
                into.insert(key.clone(), value.clone());
            }
            (Some(ours), _) if DEFAULTS.contains(&full.as_str()) => *ours = value.clone(),
            (Some(Value::Dictionary(inner)), Value::Dictionary(more)) => merge(inner, more, &full, place)?,
            (Some(ours), theirs) if ours == theirs => {}
            (Some(ours), theirs) => {
                let why = format!(
                    "`{full}` is {} there and {} by the configuration: remove it from the file",
                    short(theirs),
                    short(ours)
                );
                return Err(place.wrong("info-plist", why));
            }
        }
    }
    Ok(())
}

fn is_strings_only(value: &Value) -> bool {
    value.as_dictionary().is_some_and(|variables| variables.values().all(|value| value.as_string().is_some()))
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{text}\""),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Array(_) => "an array".to_owned(),
        Value::Dictionary(_) => "a dictionary".to_owned(),
        _ => "another value".to_owned(),
    }
}

fn sort(dictionary: &mut Dictionary) {
    dictionary.sort_keys();
    for value in dictionary.values_mut() {
        if let Value::Dictionary(inner) = value {
            sort(inner);
        }
    }
}

/// The plist as XML, as `plutil -convert xml1` writes it.
pub fn to_xml(plist: &Dictionary) -> Vec<u8> {
    let mut bytes = Vec::new();
    Value::Dictionary(plist.clone()).to_writer_xml(&mut bytes).expect("writing to memory does not fail");
    bytes.push(b'\n');
    bytes
}
