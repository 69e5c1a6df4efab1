//! `cargo xpc list`.

use serde::Serialize;

use super::Outcome;
use super::cargo_args::ManifestArgs;
use super::ui::Ui;
use crate::config::{self, App, Config, Service};
use crate::exit::Exit;
use crate::plan::{self, Selection};

/// Show the apps and services of the workspace, and what would be embedded where
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    manifest: ManifestArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct AppLine<'a> {
    #[serde(flatten)]
    app: &'a App,
    /// Inside the app's bundle, in the order of `services`.
    embedded: Vec<Embedded<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Embedded<'a> {
    path: String,
    identifier: &'a str,
}

/// The subcommand.
pub fn run(args: &ListArgs, ui: &Ui) -> Outcome {
    let (metadata, _) = args.manifest.load()?;
    let config = config::read(&metadata)?;
    if config.apps.is_empty() && config.services.is_empty() {
        ui.out("no package of this workspace describes an app or a service; `cargo xpc new` makes them");
    }
    for app in &config.apps {
        let services = services_of(&config, app)?;
        ui.out(format_args!("{}.app  {}  (package {})", app.name, app.identifier, app.program.package));
        for service in &services {
            ui.out(format_args!("  {}  {}  (package {})", path(service), service.identifier, service.program.package));
        }
        let embedded = services.iter().map(|s| Embedded { path: path(s), identifier: s.identifier.as_str() }).collect();
        ui.json("app", &AppLine { app, embedded });
    }
    let mut homeless = Vec::new();
    for service in &config.services {
        ui.json("service", service);
        let mut used = false;
        for app in &config.apps {
            used |= services_of(&config, app)?.iter().any(|other| other.identifier == service.identifier);
        }
        if !used {
            homeless.push(service);
        }
    }
    if !homeless.is_empty() {
        ui.out("in no app's `services`:");
    }
    for service in homeless {
        ui.out(format_args!("  {}.xpc  {}  (package {})", service.name, service.identifier, service.program.package));
    }
    Ok(Exit::Ok.into())
}

fn services_of<'a>(config: &'a Config, app: &App) -> Result<Vec<&'a Service>, plan::PlanError> {
    let selection =
        Selection { package: Some(app.program.package.clone()), bin: Some(app.program.bin.clone()), here: None };
    plan::select(config, &selection).map(|(_, services)| services)
}

fn path(service: &Service) -> String {
    format!("Contents/XPCServices/{}.xpc", service.name)
}
