//! A mistake is made by a copy of the test program, which it ends.

use std::env;
use std::process::{Command, Output};

const VARIABLE: &str = "XPC_SHIM_TEST_MISTAKE";

/// Runs `mistake` in a copy of this program, which it is to end, and returns what became of that.
pub fn end_of(test: &str, mistake: impl FnOnce()) -> Output {
    if env::var_os(VARIABLE).is_some() {
        mistake();
        println!("the mistake was not noticed");
        std::process::exit(0);
    }
    let program = env::current_exe().expect("its path is known");
    // Where listeners are found by name.
    let folder = env::temp_dir().join(format!("xpc-shim-{}-{test}", std::process::id()));
    std::fs::create_dir(&folder).expect("it is new");
    let mut copy = Command::new(program);
    copy.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(VARIABLE, "1");
    let output = copy.env("XDG_RUNTIME_DIR", &folder).output().expect("it starts");
    std::fs::remove_dir_all(folder).expect("it is there");
    output
}
