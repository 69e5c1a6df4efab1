//! Building with the sanitizers of nightly Rust.

use std::fs::{create_dir_all, write};
use std::path::Path;

use crate::env::{Outcome, command, run};

/// Which mistakes are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sanitizer {
    /// Of memory: use after it was freed, outside of its bounds; and what is never freed (LeakSanitizer).
    Address,
    /// Of threads: data races.
    Thread,
}

impl Sanitizer {
    pub const ALL: [Self; 2] = [Self::Address, Self::Thread];

    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Thread => "thread",
        }
    }

    /// The flags of the compiler. rustix calls libc, so that its calls are seen.
    ///
    /// The first report ends the process. That is an option of the sanitizers' which is usually set by a variable; but
    /// services have an environment of their own, so that it is linked in.
    pub fn flags(self, folder: &Path) -> Outcome<Vec<String>> {
        let name = self.name();
        let short = if self == Self::Thread { "tsan" } else { "asan" };
        let source = format!("const char *__{short}_default_options(void) {{ return \"halt_on_error=1\"; }}\n");
        let (c, object) = (folder.join("sanitizer-options.c"), folder.join("sanitizer-options.o"));
        create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        if std::fs::read_to_string(&c).ok().as_ref() != Some(&source) || !object.is_file() {
            write(&c, source).map_err(|e| format!("{}: {e}", c.display()))?;
            run(command("cc", &["-fPIC", "-c", "-o"]).arg(&object).arg(&c))?;
        }
        Ok(vec![
            format!("-Zsanitizer={name}"),
            "--cfg=rustix_use_libc".to_owned(),
            "--cfg=sanitizer".to_owned(),
            format!("--cfg=sanitizer=\"{name}\""),
            format!("-Clink-arg={}", object.display()),
        ])
    }
}
