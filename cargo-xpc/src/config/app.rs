//! `[package.metadata.xpc.app.NAME]`.

use camino::Utf8PathBuf;
use serde::Serialize;

use super::foreign::Elsewhere;
use super::names::BundleName;
use super::table::Table;
use super::{
    BuildNumber, BundleId, CodeSigning, ConfigError, Program, SystemVersion, existing_file, identifier, plist_file,
    signing,
};

/// An app as its package describes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct App {
    /// What to build.
    #[serde(flatten)]
    pub program: Program,
    /// `CFBundleIdentifier`.
    pub identifier: BundleId,
    /// `<name>.app`, `CFBundleName`, `CFBundleDisplayName`.
    pub name: BundleName,
    /// Names of services: `bin`, or `package/bin`.
    pub services: Vec<String>,
    /// Frameworks and dylibs for `Contents/Frameworks`, relative to the package.
    pub frameworks: Vec<Utf8PathBuf>,
    /// An `.icns` file.
    pub icon: Option<Utf8PathBuf>,
    /// Glob patterns, relative to the package.
    pub resources: Vec<String>,
    /// The entitlements file and what it holds.
    #[serde(skip)]
    pub entitlements: Option<(Utf8PathBuf, plist::Dictionary)>,
    /// `embedded.provisionprofile`.
    pub provisioning_profile: Option<Utf8PathBuf>,
    /// The rest of how it is signed.
    #[serde(flatten)]
    pub signing: CodeSigning,
    /// More keys for the Info.plist.
    #[serde(skip)]
    pub info_plist: Option<(Utf8PathBuf, plist::Dictionary)>,
    /// `CFBundleVersion`; the package's x.y.z where it is not given.
    pub build_number: Option<BuildNumber>,
    /// `LSMinimumSystemVersion`.
    pub minimum_system_version: SystemVersion,
    /// The configuration file, where Tauri builds the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tauri: Option<Utf8PathBuf>,
    /// `LSUIElement`: an app without a place in the Dock.
    pub ui_element: bool,
}

pub(super) fn read(program: Program, table: Table<'_>, metadata: &serde_json::Value) -> Result<App, ConfigError> {
    let place = table.place.clone();
    let folder = program.folder().to_owned();
    // What the user has said to another tool already is not asked again.
    let elsewhere = Elsewhere::of(&program, metadata);
    let identifier = or_else(identifier(&table)?, || elsewhere.identifier())?
        .ok_or_else(|| table.missing("identifier", "the app's bundle identifier, such as \"com.example.demo\""))?;
    let app = App {
        identifier,
        name: or_else(table.parsed("name", BundleName::parse)?, || elsewhere.name())?
            .unwrap_or_else(|| BundleName::of_bin(&program.bin)),
        services: table.strings("services")?,
        frameworks: table.strings("frameworks")?.into_iter().map(|path| folder.join(path)).collect(),
        icon: or_else(table.path("icon")?.map(|p| existing_file(&place, "icon", p)).transpose()?, || elsewhere.icon())?,
        resources: table.strings("resources")?,
        entitlements: table.path("entitlements")?.map(|p| plist_file(&place, "entitlements", p)).transpose()?,
        provisioning_profile: table
            .path("provisioning-profile")?
            .map(|p| existing_file(&place, "provisioning-profile", p))
            .transpose()?,
        signing: signing::read(&table)?,
        info_plist: table.path("info-plist")?.map(|p| plist_file(&place, "info-plist", p)).transpose()?,
        build_number: table.parsed("build-number", BuildNumber::parse)?,
        minimum_system_version: or_else(table.parsed("minimum-system-version", SystemVersion::parse)?, || {
            elsewhere.minimum_system_version()
        })?
        .unwrap_or(SystemVersion::DEFAULT),
        tauri: elsewhere.tauri(),
        ui_element: table.bool("ui-element")?.unwrap_or(false),
        program: program.clone(),
    };
    table.finish()?;
    if let Some(icon) = app.icon.as_ref().filter(|icon| icon.extension() != Some("icns")) {
        return Err(place.wrong("icon", format_args!("`{icon}` is not an .icns file")));
    }
    Ok(app)
}

/// What our own key says; else what another tool was told, which is not looked at before.
fn or_else<T>(
    ours: Option<T>,
    theirs: impl FnOnce() -> Result<Option<T>, ConfigError>,
) -> Result<Option<T>, ConfigError> {
    if ours.is_some() { Ok(ours) } else { theirs() }
}
