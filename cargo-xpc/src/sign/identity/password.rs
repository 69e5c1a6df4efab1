//! Passwords: from a file, from the environment, from a person; never shown.

use std::fmt;

use camino::Utf8Path;
use zeroize::Zeroizing;

use super::IdentityError;

/// A password. Its memory is cleared when it goes, and no form of output shows it.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// A password from elsewhere.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The content of a file, without the end of its only line.
    ///
    /// # Errors
    /// Where it cannot be read, or has more than one line.
    pub fn from_file(path: &Utf8Path) -> Result<Self, IdentityError> {
        let wrong = |why| IdentityError::PasswordSource { from: format!("`{path}`"), why };
        let bytes = Zeroizing::new(fs_err::read(path)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not UTF-8"))?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.contains(['\n', '\r']) {
            return Err(wrong("has more than one line: it should hold the password alone"));
        }
        Ok(Self::new(line.to_owned()))
    }

    /// The value of an environment variable.
    ///
    /// # Errors
    /// Where there is none.
    pub fn from_env(name: &str) -> Result<Self, IdentityError> {
        let wrong = |why| IdentityError::PasswordSource { from: format!("environment variable `{name}`"), why };
        match std::env::var(name) {
            Ok(text) => Ok(Self::new(text)),
            Err(std::env::VarError::NotPresent) => Err(wrong("is not set")),
            Err(std::env::VarError::NotUnicode(_)) => Err(wrong("is not UTF-8")),
        }
    }

    /// The password itself.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Where passwords come from.
pub struct Passwords<'a> {
    /// What the command line named; nothing else is tried then.
    pub given: Option<Password>,
    /// Asks a person for the password of the file it is given; `None` where nobody can be asked.
    pub prompt: &'a dyn Fn(&Utf8Path) -> Option<std::io::Result<Password>>,
}

impl Passwords<'_> {
    /// No password, and nobody to ask.
    pub fn none() -> Passwords<'static> {
        Passwords { given: None, prompt: &|_| None }
    }

    /// The password of `path`.
    pub(super) fn of(&self, path: &Utf8Path) -> Result<Password, IdentityError> {
        if let Some(password) = &self.given {
            return Ok(password.clone());
        }
        match (self.prompt)(path) {
            Some(password) => Ok(password?),
            None => Err(IdentityError::PasswordNeeded { path: path.to_owned() }),
        }
    }
}

impl fmt::Debug for Passwords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("given", &self.given).finish_non_exhaustive()
    }
}
