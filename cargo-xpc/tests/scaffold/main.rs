//! `cargo xpc new`, through the real program.
//!
//! `cases/` holds folders: `in/` is the state before, `out/` the whole tree after, `templates/` a folder for `--template-dir`.
//! `SNAPSHOTS=overwrite` writes `out/` anew; read the difference before you commit it.
#![expect(clippy::disallowed_methods, reason = "tests keep no secrets")]

mod clashes;
mod golden;
mod templates;
mod undo;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder to scaffold in, gone after the test.
struct Place {
    _guard: tempfile::TempDir,
    root: PathBuf,
}

/// How the program ended.
struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

type Tree = BTreeMap<String, String>;

impl Place {
    fn empty() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let root = guard.path().canonicalize().unwrap();
        Self { _guard: guard, root }
    }

    /// A copy of `cases/<case>/in`.
    fn of_case(case: &str) -> Self {
        let place = Self::empty();
        for (path, content) in tree(&case_folder(case).join("in")) {
            place.write(&path, &content);
        }
        place
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    /// Runs `cargo xpc new` in the folder.
    fn new_(&self, args: &[&str]) -> Answer {
        self.new_in(".", args)
    }

    fn new_in(&self, folder: &str, args: &[&str]) -> Answer {
        answer(command(Path::new(PROGRAM)).args(args).current_dir(self.root.join(folder)))
    }

    fn tree(&self) -> Tree {
        tree(&self.root)
    }

    /// What a command changes when it has to change nothing.
    #[track_caller]
    fn refuses(&self, args: &[&str], said: &[&str]) {
        let before = self.tree();
        let answer = self.new_(args);
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        for words in said {
            assert!(answer.stderr.contains(words), "`{words}` is not in:\n{}", answer.stderr);
        }
        assert_eq!(self.tree(), before);
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_cargo-xpc");

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["xpc", "new"]).env_remove("CARGO_XPC_RUNTIME_PATH").env("NO_COLOR", "1");
    command
}

fn answer(command: &mut Command) -> Answer {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

impl Answer {
    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }
}

fn case_folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scaffold/cases").join(case)
}

/// Every file, folder and link under `root`, with what it holds.
fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.unwrap();
        let content = if entry.file_type().is_dir() {
            emptiness(entry.path())
        } else if entry.file_type().is_symlink() {
            Some(format!("-> {}", fs_err::read_link(entry.path()).unwrap().display()))
        } else {
            Some(fs_err::read_to_string(entry.path()).unwrap())
        };
        if let Some(content) = content {
            found.insert(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned(), content);
        }
    }
    found
}

/// An empty folder is something left behind; git cannot hold one, so that no golden tree has any.
fn emptiness(folder: &Path) -> Option<String> {
    fs_err::read_dir(folder).unwrap().next().is_none().then(|| "(empty folder)".to_owned())
}
