//! What shells are told of the command line.

use std::process::{Command, Stdio};

use integration_tests::{Project, Xpc};

/// What bash offers for a command line: with the script read in the way its help says, after a stand-in for cargo's own.
fn bash(script: &str, line: &str) -> String {
    let harness = r#"
_cargo() { COMPREPLY=("of cargo's own"); }
complete -F _cargo cargo
eval "$SCRIPT"
# Once more, as by a second shell start-up file: cargo's own is not forgotten.
eval "$SCRIPT"
read -ra COMP_WORDS <<< "$LINE"
[[ "$LINE" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
completes="$(complete -p "${COMP_WORDS[0]}" | sed 's/.* -F \([^ ]*\).*/\1/')"
"$completes" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
echo "${COMPREPLY[*]}"
"#;
    let output = Command::new("bash")
        .args(["--norc", "-c", harness])
        .env("SCRIPT", script)
        .env("LINE", line)
        .stdin(Stdio::null())
        .output()
        .expect("bash, for which completions are made, is not there: `apt-get install bash`");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert_eq!(text(output.stderr), "", "{line}");
    text(output.stdout).trim().to_owned()
}

/// Nothing was offered behind a subcommand, and nothing at all for `cargo xpc`, which is what people write.
#[test]
fn bash_completes_what_people_write() {
    let folder = Project::empty();
    let script = Xpc::new(folder.root(), &["completions", "bash"]).ok().stdout;
    for (line, offered) in [
        ("cargo xpc bun", "bundle"),
        ("cargo-xpc bun", "bundle"),
        ("cargo +nightly xpc emb", "embed"),
        ("cargo xpc bundle --univ", "--universal"),
        ("cargo-xpc bundle --univ", "--universal"),
        ("cargo xpc identity cre", "create"),
        ("cargo xpc bundle --color a", "auto always"),
        ("cargo xp", "of cargo's own"),
        ("cargo build --rel", "of cargo's own"),
    ] {
        assert_eq!(bash(&script, line), offered, "{line}");
    }
}

#[test]
fn the_other_shells_know_what_people_write() {
    let folder = Project::empty();
    let script = |shell: &str| Xpc::new(folder.root(), &["completions", shell]).ok().stdout;
    // By this name cargo's own completion looks for it.
    assert!(script("zsh").contains("#compdef cargo-xpc") && script("zsh").contains("_cargo-xpc() {"));
    assert!(script("fish").contains("complete -c cargo -n '__fish_seen_subcommand_from xpc'"));
}

#[test]
fn manual_pages_name_the_program_and_show_what_is_typed() {
    let folder = Project::empty();
    Xpc::new(folder.root(), &["man", "--out", "man"]).ok();
    let page = |name: &str| std::fs::read_to_string(folder.root().join(format!("man/{name}.1"))).unwrap();
    let create = page("cargo-xpc-identity-create");
    assert!(create.contains(concat!("\"cargo-xpc ", env!("CARGO_PKG_VERSION"), "\" \"cargo xpc\"")), "{create}");
    assert!(create.contains("cargo xpc identity create"), "{create}");
    let sign = page("cargo-xpc-sign");
    assert!(sign.contains(".SH NOTES\nSCOPE names") && sign.contains("Examples:"), "{sign}");
    assert!(page("cargo-xpc").contains("Exit codes:"));
}
