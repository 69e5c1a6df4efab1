//! `cargo xpc verify`.

use camino::Utf8PathBuf;
use serde::Serialize;

use super::Outcome;
use super::ui::Ui;
use crate::exit::Exit;
use crate::verify::{self, Report, Severity, Verdict};

/// Recompute every hash of a signed bundle and list what is not as sealed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exits 0 where everything is as sealed, and 1 where something is not, nothing is signed, or REQ is not satisfied. \
Signatures and certificates have to hold as far as they are there; whose root stands at the end of a chain is said, and \
nobody's is refused.

REQ is Apple's language, as `codesign -R` and `csreq` take it: text after `=`, or a file with text or with a binary \
requirement. Text without `=` is taken as text where no file has that name:
  cargo xpc verify X.app -R '=identifier \"com.example.demo\" and anchor apple generic'
What only a Mac can tell (`anchor trusted`, `notarized`) is said to be undecided, and exits 1.")]
pub struct VerifyArgs {
    /// The bundle, or a Mach-O file by itself; a bundle's main executable stands for the bundle
    #[arg(value_name = "X.app")]
    bundle: Utf8PathBuf,

    /// A requirement that the bundle's main code has to satisfy
    #[arg(short = 'R', long, value_name = "REQ")]
    requirement: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    verdict: Verdict,
    #[serde(flatten)]
    report: &'a Report,
}

/// The subcommand.
pub fn run(args: &VerifyArgs, ui: &Ui) -> Outcome {
    let requirement = args.requirement.as_deref().map(verify::requirement).transpose()?;
    let report = verify::verify_against(&args.bundle, requirement.as_ref())?;
    let verdict = report.verdict();
    ui.json("verified", &Answer { verdict, report: &report });
    for finding in &report.findings {
        let weight = if finding.severity == Severity::Error { "" } else { "warning: " };
        ui.out(format_args!("{weight}{finding}"));
    }
    for unchecked in &report.unchecked {
        ui.warn(format_args!("{}: {}", unchecked.path, unchecked.what));
    }
    // Where all is ad hoc, the last line says so.
    if report.code.iter().any(|code| !code.ad_hoc) {
        for code in &report.code {
            match &code.signer {
                Some(signer) => ui.out(format_args!("{}: signed by {signer}", code.path)),
                None if code.ad_hoc => ui.out(format_args!("{}: signed ad hoc", code.path)),
                None => ui.out(format_args!("{}: its signer cannot be read", code.path)),
            }
        }
    }
    match verdict {
        Verdict::Valid => {
            let ad_hoc = if report.code.iter().all(|code| code.ad_hoc) { ", ad hoc" } else { "" };
            let signatures = if report.code.len() == 1 { "signature" } else { "signatures" };
            ui.out(format_args!("{}: as sealed ({} {signatures}{ad_hoc})", args.bundle, report.code.len()));
            Ok(Exit::Ok.into())
        }
        Verdict::Invalid => {
            let asked = if requirement.is_some() { " or as required" } else { "" };
            let count = report.errors().count();
            let findings = if count == 1 { "finding" } else { "findings" };
            ui.out(format_args!("{}: not as sealed{asked} ({count} {findings})", args.bundle));
            Ok(Exit::No.into())
        }
        Verdict::NotSigned => {
            let machine = report.elf.as_deref().unwrap_or_default();
            ui.out(format_args!("{}: not signed: its program is ELF ({machine}), not Mach-O", args.bundle));
            Ok(Exit::No.into())
        }
    }
}
