//! `cargo xpc new`.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::cargo_args::current_folder;
use super::ui::{Ui, short};
use super::{Failure, Outcome};
use crate::config::BundleId;
use crate::exit::Exit;
use crate::scaffold::{self, Kind, Origin, Request, ScaffoldPlan};

/// Make a workspace with an app and a service, or, inside a workspace, add a service
///
/// Outside a workspace: an app, a service and the interface they share, which build and run at once.
/// Inside one: a service package and its interface, added to the members and to the app's services.
/// Inside a package that is no workspace: nothing, until that package's Cargo.toml has a line `[workspace]`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xpc new demo --identifier org.example.demo    an app with a service
  cargo xpc new counter                               in there: one more service
  cargo xpc new helper --template standalone          one without an interface package
  cargo xpc new helper --app viewer                   where there are several apps")]
pub struct NewArgs {
    /// The new folder; its name becomes the package's
    #[arg(required_unless_present = "list_templates", value_parser = not_empty)]
    path: Option<Utf8PathBuf>,
    /// The package's name, where it is not the folder's
    #[arg(long)]
    name: Option<String>,
    /// Bundle identifier of the app, or of the service in a workspace [default: com.example.<NAME>, or <APP'S>.<NAME>]
    #[arg(long, value_name = "ID", value_parser = |text: &str| BundleId::new(text))]
    identifier: Option<BundleId>,
    /// The app that gets the service, where there are several; any other binary named here becomes an app
    #[arg(long)]
    app: Option<String>,
    /// The template, one of those that --list-templates shows [default: default]
    #[arg(long, value_name = "NAME", help_heading = "Templates")]
    template: Option<String>,
    /// A folder with templates of your own, made like the folder `templates` of cargo-xpc's repository
    #[arg(long, value_name = "DIR", help_heading = "Templates")]
    template_dir: Option<Utf8PathBuf>,
    /// Show the templates there are
    #[arg(long, help_heading = "Templates", conflicts_with_all = ["path", "name", "identifier", "app", "template"])]
    list_templates: bool,
    /// Depend on the xpc-runtime in this folder in place of the published one
    #[arg(long, value_name = "DIR", env = "CARGO_XPC_RUNTIME_PATH", hide_env_values = true)]
    runtime_path: Option<Utf8PathBuf>,
    /// Show what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// An unset variable in a script must not scaffold into the current folder.
fn not_empty(path: &str) -> Result<Utf8PathBuf, &'static str> {
    if path.is_empty() { Err("the path is empty; for the current folder write `.`") } else { Ok(path.into()) }
}

/// The subcommand.
pub fn run(args: &NewArgs, ui: &Ui) -> Outcome {
    let here = current_folder()?;
    let absolute = |path: &Utf8PathBuf| here.join(path);
    let template_dir = args.template_dir.as_ref().map(absolute);
    // clap sees to it that only `--list-templates` comes without a path.
    let Some(path) = &args.path else { return list_templates(template_dir.as_deref(), ui) };
    let request = Request {
        path: here.join(path),
        name: args.name.clone(),
        identifier: args.identifier.clone(),
        app: args.app.clone(),
        template: args.template.clone(),
        template_dir,
        // An empty variable is how some tools unset one.
        runtime_path: args.runtime_path.as_ref().filter(|path| !path.as_str().is_empty()).map(absolute),
    };
    let plan = scaffold::plan(&request)?;
    if !args.dry_run {
        scaffold::apply(&plan)?;
    }
    report(&plan, args.dry_run, ui);
    Ok(Exit::Ok.into())
}

fn list_templates(dir: Option<&Utf8Path>, ui: &Ui) -> Outcome {
    #[derive(Serialize)]
    struct Answer<'a> {
        templates: &'a [scaffold::TemplateInfo],
    }
    let templates = scaffold::list_templates(dir).map_err(Failure::from)?;
    let width = templates.iter().map(|template| template.name.len()).max().unwrap_or(0);
    for template in &templates {
        let origin = match &template.origin {
            Origin::BuiltIn => String::new(),
            Origin::Folder(folder) => format!("  ({folder})"),
        };
        let kind = template.kind.as_str();
        ui.out(format_args!("{kind:<9}  {:<width$}  {}{origin}", template.name, template.description));
    }
    ui.json("templates", &Answer { templates: &templates });
    Ok(Exit::Ok.into())
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Scaffold<'a> {
    written: bool,
    #[serde(flatten)]
    plan: &'a ScaffoldPlan,
}

fn report(plan: &ScaffoldPlan, dry_run: bool, ui: &Ui) {
    for note in &plan.notes {
        ui.warn(note);
    }
    ui.json("scaffold", &Scaffold { written: !dry_run, plan });
    if dry_run {
        for file in &plan.files {
            ui.out(format_args!("create {}", short(&file.path)));
        }
        for edit in &plan.edits {
            for change in &edit.changes {
                ui.out(format_args!("edit   {}: {change}", short(&edit.path)));
            }
        }
        return;
    }
    for file in &plan.files {
        ui.verbose("Writing", short(&file.path));
    }
    ui.status("Created", format_args!("{} in `{}`", what_was_made(plan), short(&plan.folder)));
    for edit in &plan.edits {
        ui.status("Edited", format_args!("`{}`: {}", short(&edit.path), edit.changes.join(", ")));
    }
    ui.out(next_step(plan, short(&plan.folder)));
}

fn what_was_made(plan: &ScaffoldPlan) -> String {
    let with = |interface: &Option<String>| interface.as_ref().map(|name| format!(" and interface `{name}`"));
    let interface = with(&plan.interface).unwrap_or_default();
    match plan.kind {
        Kind::Workspace => format!("app `{}` with service `{}`{interface}", plan.name, plan.service),
        Kind::Service => format!("service `{}` (`{}`){interface}", plan.service, plan.identifier),
    }
}

/// What to type now.
fn next_step(plan: &ScaffoldPlan, folder: &Utf8Path) -> String {
    match (plan.kind, &plan.app, &plan.interface) {
        (Kind::Workspace, ..) if folder == "." => "Next: cargo xpc run".to_owned(),
        (Kind::Workspace, ..) => format!("Next: cd {} && cargo xpc run", for_shell(folder.as_str())),
        (Kind::Service, Some(app), Some(interface)) => format!(
            "Next: connect to it in `{app}` with `Connection::service({}::SERVICE_NAME)`, then cargo xpc run",
            interface.replace('-', "_"),
        ),
        (Kind::Service, Some(app), None) => {
            format!("Next: connect to `{}` in `{app}`, then cargo xpc run", plan.identifier)
        }
        (Kind::Service, None, _) => {
            format!(
                "Next: list \"{}\" in the `services` of [package.metadata.xpc.app.BINARY] in the app's Cargo.toml; a new table there needs an `identifier` too",
                plan.service
            )
        }
    }
}

/// A word that a shell reads as it is.
fn for_shell(path: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,@%".contains(c);
    if path.chars().all(is_plain) && !path.starts_with('-') {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_can_be_pasted() {
        assert_eq!(for_shell("demo-2/x.y"), "demo-2/x.y");
        assert_eq!(for_shell("dämo"), "dämo");
        assert_eq!(for_shell("my demo"), "'my demo'");
        assert_eq!(for_shell("it's"), r"'it'\''s'");
        assert_eq!(for_shell("$HOME"), "'$HOME'");
    }
}
