//! Which app, and which services belong into it.

use super::PlanError;
use crate::config::table::nearest;
use crate::config::{App, Config, Service};

/// What the command line says of the app.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// `-p`.
    pub package: Option<String>,
    /// `--bin`.
    pub bin: Option<String>,
    /// The package whose folder the command was run in, if there is one: preferred where nothing is said.
    pub here: Option<String>,
}

const HOW_TO_ADD: &str = "add [package.metadata.xpc.app.<binary>] with an `identifier` and its `services` to the Cargo.toml \
                          of the app's package, or start with `cargo xpc new`";

/// Finds the app and its services.
///
/// # Errors
/// Where there is none, more than one, or a service that nobody describes.
pub fn select<'a>(config: &'a Config, selection: &Selection) -> Result<(&'a App, Vec<&'a Service>), PlanError> {
    let app = select_app(config, selection)?;
    let place = app.program.place("app");
    let listed = format!("`services` of {place} lists");
    Ok((app, find_services(config, &app.services, &listed)?))
}

impl Selection {
    /// The app, and the one of its services that is called `name`, or `package/name`.
    ///
    /// # Errors
    /// As for [`select`], and where the app has no such service or several.
    pub fn service<'a>(&self, config: &'a Config, name: &str) -> Result<(&'a App, &'a Service), PlanError> {
        let (app, services) = select(config, self)?;
        let absent = || {
            let known: Vec<_> = services.iter().map(|service| service.program.bin.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            format!("app `{}` has no service `{name}`; it has: {known}", app.program.bin)
        };
        Ok((app, one_called(services.iter().copied(), name, "the command line names", absent)?))
    }
}

fn select_app<'a>(config: &'a Config, selection: &Selection) -> Result<&'a App, PlanError> {
    let fail = |text: String| Err(PlanError::Selection(text));
    if config.apps.is_empty() {
        return fail(format!("no package of this workspace describes an app; {HOW_TO_ADD}"));
    }
    let fits = |app: &&App| {
        selection.package.as_ref().is_none_or(|package| *package == app.program.package)
            && selection.bin.as_ref().is_none_or(|bin| *bin == app.program.bin)
    };
    let mut found: Vec<&App> = config.apps.iter().filter(fits).collect();
    if found.len() > 1
        && selection.package.is_none()
        && selection.bin.is_none()
        && let Some(here) = &selection.here
        && found.iter().any(|app| app.program.package == *here)
    {
        found.retain(|app| app.program.package == *here);
    }
    let list = |apps: &[&App]| {
        apps.iter().map(|app| format!("{} (package {})", app.program.bin, app.program.package)).collect::<Vec<_>>()
    };
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let all: Vec<&App> = config.apps.iter().collect();
            let wanted = match (&selection.package, &selection.bin) {
                (Some(package), Some(bin)) => format!("named `{bin}` in package `{package}`"),
                (Some(package), None) => format!("in package `{package}`"),
                (None, bin) => format!("named `{}`", bin.as_deref().unwrap_or_default()),
            };
            fail(format!("no app {wanted}; there is: {}", list(&all).join(", ")))
        }
        several => fail(format!("there are several apps: {}; choose one with --bin", list(several).join(", "))),
    }
}

/// The services of a list, each of them once.
pub(super) fn find_services<'a>(
    config: &'a Config,
    names: &[String],
    said: &str,
) -> Result<Vec<&'a Service>, PlanError> {
    let mut found: Vec<(&str, &Service)> = Vec::new();
    for name in names {
        let service = find_service(config, name, said)?;
        if let Some((before, _)) = found.iter().find(|(_, other)| std::ptr::eq(*other, service)) {
            return Err(PlanError::Selection(if before == name {
                format!("{said} `{name}` twice; once is enough")
            } else {
                format!("{said} `{before}` and `{name}`, which are the same service; once is enough")
            }));
        }
        found.push((name, service));
    }
    Ok(found.into_iter().map(|(_, service)| service).collect())
}

/// The service called `name`, or `package/name`; `said` is who names it, with a verb.
pub(super) fn find_service<'a>(config: &'a Config, name: &str, said: &str) -> Result<&'a Service, PlanError> {
    one_called(config.services.iter(), name, said, || {
        let known = config.services.iter().map(|s| s.program.bin.as_str());
        format!("{said} `{name}`, but no package has [package.metadata.xpc.service.{name}]{}", nearest(name, known))
    })
}

/// The only one of `services` that `name` can mean.
fn one_called<'a>(
    services: impl Iterator<Item = &'a Service>,
    name: &str,
    said: &str,
    absent: impl FnOnce() -> String,
) -> Result<&'a Service, PlanError> {
    let is_meant = |service: &&Service| match name.split_once('/') {
        Some((package, bin)) => service.program.package == package && service.program.bin == bin,
        None => service.program.bin == name,
    };
    let found: Vec<&Service> = services.filter(is_meant).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(PlanError::Selection(absent())),
        several => {
            let names: Vec<_> = several.iter().map(|s| format!("{}/{}", s.program.package, s.program.bin)).collect();
            let names = names.join(", ");
            Err(PlanError::Selection(format!("{said} `{name}`, which is ambiguous; write one of: {names}")))
        }
    }
}
