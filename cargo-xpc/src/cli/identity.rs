//! `cargo xpc identity`, and the arguments by which other subcommands name one.

use std::io::IsTerminal as _;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Subcommand;
use serde::Serialize;

use super::ui::Ui;
use super::{Failure, Outcome};
use crate::child;
use crate::exit::Exit;
use crate::sign::identity::{CertificateSummary, Password, Passwords, Store, StoredIdentity};
use crate::sign::{self, Identity};

/// Make and show identities to sign with
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A development identity is an RSA key and a certificate that signs itself: nobody else trusts it, and what it signs keeps its identity from build to build. It is kept in $CARGO_XPC_IDENTITIES, or else in ~/Library/Application Support/cargo-xpc/identities on macOS and $XDG_DATA_HOME/cargo-xpc/identities (~/.local/share/…) elsewhere; only you can read its key.

Examples:
  cargo xpc identity create
  cargo xpc bundle --universal --sign development
  cargo xpc identity show DeveloperID.p12 --password-file secret"
)]
pub struct IdentityArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a development identity
    Create {
        /// What it is called; `--identity NAME` signs with it
        #[arg(value_name = "NAME", default_value = DEFAULT_NAME)]
        name: String,
    },
    /// List the development identities
    List,
    /// Show the certificate of an identity: fingerprints, team, validity
    Show {
        /// Name of a development identity, or the file of another
        #[arg(value_name = "ID", default_value = DEFAULT_NAME)]
        id: String,
        #[command(flatten)]
        key: KeyArgs,
    },
}

const DEFAULT_NAME: &str = "development";

/// An identity's key, and who confirms the time.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SignerArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Time-stamp server (RFC 3161) to ask for each signature; by default nobody is asked
    #[arg(long, value_name = "URL", help_heading = "Identity")]
    timestamp: Option<String>,
}

impl SignerArgs {
    /// The identity that `id` names, and the server for its time stamps; `option` is what would name one.
    pub(super) fn identity(&self, id: Option<&str>, option: &str) -> Result<(Identity, Option<String>), Failure> {
        let identity = self.key.identity(id, option)?;
        sign::check_timestamp(&identity, self.timestamp.as_deref())?;
        Ok((identity, self.timestamp.clone()))
    }
}

/// What opens an identity.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct KeyArgs {
    /// Private key, where it does not stand in the certificate's file
    #[arg(long, value_name = "FILE", help_heading = "Identity")]
    key: Option<Utf8PathBuf>,
    /// File that holds the identity's password; without one you are asked
    #[arg(long, value_name = "FILE", conflicts_with = "password_env", help_heading = "Identity")]
    password_file: Option<Utf8PathBuf>,
    /// Environment variable that holds the identity's password
    #[arg(long, value_name = "NAME", help_heading = "Identity")]
    password_env: Option<String>,
}

impl KeyArgs {
    /// The identity that `id` names; `option` is what would name one.
    fn identity(&self, id: Option<&str>, option: &str) -> Result<Identity, Failure> {
        let Some(id) = id else {
            if self.key.is_some() || self.password_file.is_some() || self.password_env.is_some() {
                let message = format!("--key and passwords are of an identity: name it with {option}");
                return Err(Failure::new(Exit::Usage, message));
            }
            return Ok(Identity::AdHoc);
        };
        let given = match (&self.password_file, &self.password_env) {
            (Some(file), _) => Some(Password::from_file(file)?),
            (_, Some(name)) => Some(Password::from_env(name)?),
            _ => None,
        };
        Ok(Identity::load(id, self.key.as_deref(), &Passwords { given, prompt: &ask })?)
    }
}

/// Sees to it that no program which is started from now on inherits the variable that `--password-env` names, whichever
/// subcommand has it.
pub(super) fn withhold_password(matches: &clap::ArgMatches) {
    if let Ok(Some(name)) = matches.try_get_one::<String>("password_env") {
        child::withhold(name);
    }
    if let Some((_, matches)) = matches.subcommand() {
        withhold_password(matches);
    }
}

/// Asks a person who sits at a terminal; what is typed is not shown.
fn ask(path: &Utf8Path) -> Option<std::io::Result<Password>> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return None;
    }
    let typed = dialoguer::Password::new()
        .with_prompt(format!("Password of {path}"))
        .allow_empty_password(true)
        .report(false)
        .interact();
    Some(typed.map(Password::new).map_err(|dialoguer::Error::IO(error)| error))
}

/// The subcommand.
pub fn run(args: &IdentityArgs, ui: &Ui) -> Outcome {
    match &args.action {
        Action::Create { name } => {
            let progress = ui.progress("Creating");
            progress.at("an RSA key");
            let made = Store::open()?.create(name)?;
            drop(progress);
            ui.status("Created", format_args!("identity `{name}` in {}", made.path));
            print(ui, "identity-created", Some(&made.name), &made.certificate);
        }
        Action::List => {
            let store = Store::open()?;
            let names = store.names()?;
            if names.is_empty() {
                ui.status(
                    "Found",
                    format_args!("no identity in {}: make one with `cargo xpc identity create`", store.folder()),
                );
            }
            for name in names {
                let StoredIdentity { name, certificate, .. } = store.show(&name)?;
                ui.out(format_args!("{name}  {}  valid until {}", certificate.sha1, certificate.not_after));
                ui.json("identity", &Named { name: Some(&name), certificate: &certificate });
            }
        }
        Action::Show { id, key } => {
            let identity = key.identity(Some(id), "ID")?;
            let Some(signer) = identity.signer() else {
                return Err(Failure::new(Exit::Usage, "an ad-hoc signature has no certificate to show"));
            };
            let stored = Store::open().and_then(|store| store.names()).unwrap_or_default();
            let name = stored.iter().find(|name| *name == id);
            print(ui, "identity", name.map(String::as_str), &signer.summary());
        }
    }
    Ok(Exit::Ok.into())
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Named<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    certificate: &'a CertificateSummary,
}

fn print(ui: &Ui, reason: &str, name: Option<&str>, certificate: &CertificateSummary) {
    let CertificateSummary { subject, issuer, sha1, sha256, team, not_before, not_after, source } = certificate;
    let lines = [
        ("Name", name),
        ("Subject", Some(subject.as_str())),
        ("Issuer", Some(issuer.as_str())),
        ("Team", team.as_deref()),
        ("SHA-1", Some(sha1.as_str())),
        ("SHA-256", Some(sha256.as_str())),
        ("Valid from", Some(not_before.as_str())),
        ("Valid until", Some(not_after.as_str())),
        ("Kept in", Some(source.as_str())),
    ];
    for (label, value) in lines {
        if let Some(value) = value {
            ui.out(format_args!("{label:<12} {value}"));
        }
    }
    ui.json(reason, &Named { name, certificate });
}
