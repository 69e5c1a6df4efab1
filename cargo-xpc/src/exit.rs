//! Exit codes: part of the interface, so that a script can tell the kinds of failure apart.

/// How the process ends. The numbers above 2 are those of `sysexits.h`, but for 101, which is cargo's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The question was answered, and the answer is no (`verify`).
    No = 1,
    /// The command line, the configuration or an input is wrong; nothing was written.
    Usage = 2,
    /// Something that the work needs is not installed, or a server does not answer; the message says what to do.
    Unavailable = 69,
    /// A bug in this tool.
    Software = 70,
    /// The system refused to read or write: permissions, a full disk, a lock.
    Io = 74,
    /// cargo could not build; its own message stands above.
    Build = 101,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows which exit code it stands for. Every stage's error type implements it.
pub trait Coded: std::error::Error + Send + Sync + 'static {
    /// The exit code of a run that ends with this error.
    fn exit_code(&self) -> Exit;
}

/// What a person can do where the system refused to read, or to write what is nobody else's: to be put after the system's own words.
pub(crate) fn remedy(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::PermissionDenied if cfg!(target_os = "macos") => {
            "; make it readable for you, or, for an installed app, allow your terminal in System Settings > Privacy & Security > App Management"
        }
        ErrorKind::PermissionDenied => "; make it readable for you",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space and run again (what was there before is untouched)"
        }
        ErrorKind::ReadOnlyFilesystem => "; choose another folder",
        _ => "",
    }
}

/// The table for `cargo xpc --help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the answer is no (verify)
  2    the command line, the configuration or an input is wrong
  69   something needed is not installed, or does not answer
  70   a bug in cargo-xpc
  74   the system refused to read or write
  101  the build failed
`run` returns the app's own status, and `test` that of `cargo test`.

Begin with:
  cargo xpc new demo && cd demo && cargo xpc run";
