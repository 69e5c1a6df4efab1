//! `cargo xpc plist`.

use super::Outcome;
use super::cargo_args::{ManifestArgs, SelectArgs};
use super::ui::Ui;
use crate::config;
use crate::exit::Exit;
use crate::plan::{self, info_plist};

/// Print the Info.plist that would be written for a service, or for the app
#[derive(Debug, clap::Args)]
pub struct PlistArgs {
    /// The service's binary, or PACKAGE/BINARY; without it, the app's Info.plist is printed
    service: Option<String>,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
}

/// The subcommand.
pub fn run(args: &PlistArgs, ui: &Ui) -> Outcome {
    let (metadata, folder) = args.manifest.load()?;
    let config = config::read(&metadata)?;
    let selection = args.select.selection(&metadata, &config, &args.manifest, &folder);
    let dictionary = match &args.service {
        None => info_plist::app(plan::select(&config, &selection)?.0)?,
        Some(name) => {
            // A service's versions are the app's, so the app has to be known for a service too.
            let (app, service) = selection.service(&config, name)?;
            info_plist::service(app, service)?
        }
    };
    if ui.is_json() {
        ui.json("plist", &serde_json::json!({ "plist": dictionary }));
    } else {
        ui.out(String::from_utf8_lossy(&info_plist::to_xml(&dictionary)).trim_end());
    }
    Ok(Exit::Ok.into())
}
