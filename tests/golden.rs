//! What people see, word for word. `SNAPSHOTS=overwrite` writes the files anew.

use std::collections::BTreeSet;

use integration_tests::{Plain, Project, Xpc, checkout};
use snapbox::{Assert, Data, data::DataFormat};

fn golden() -> Assert {
    Assert::new().action_env("SNAPSHOTS")
}

fn same(path: &str, text: &str) {
    let file = checkout().join("tests/golden").join(path);
    golden().eq(text.to_owned(), Data::read_from(file.as_std_path(), Some(DataFormat::Text)).raw());
}

#[test]
fn help() {
    let folder = Project::empty();
    let top = Xpc::new(folder.root(), &["--help"]).env("COLUMNS", "100").ok().stdout;
    same("help/xpc.txt", &top);
    let commands = top.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut seen = 0;
    for command in commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|name| *name != "help")
    {
        let help = Xpc::new(folder.root(), &[command, "--help"]).env("COLUMNS", "100").ok().stdout;
        same(&format!("help/{command}.txt"), &help);
        seen += 1;
    }
    assert!(seen >= 9, "{seen} subcommands in:\n{top}");
}

/// Notes below the options had line breaks of their own, and came in ragged lines on every terminal but the widest.
#[test]
fn help_fills_the_lines_of_a_narrow_terminal() {
    let folder = Project::empty();
    for command in std::fs::read_dir(checkout().join("tests/golden/help")).unwrap() {
        let name = command.unwrap().file_name().into_string().unwrap();
        let command = name.trim_end_matches(".txt");
        let args: &[&str] = if command == "xpc" { &["--help"] } else { &[command, "--help"] };
        let help = Xpc::new(folder.root(), args).env("COLUMNS", "80").ok().stdout;
        let lines: Vec<&str> = help.lines().collect();
        for pair in lines.windows(2) {
            let [line, next] = pair else { unreachable!() };
            assert!(line.chars().count() <= 80, "{command}: {line}");
            let text = |line: &str| line.starts_with(|c: char| !c.is_whitespace());
            if text(line) && text(next) {
                let word = next.split(' ').next().unwrap_or_default();
                assert!(line.chars().count() + 1 + word.chars().count() > 80, "{command}: `{word}` fits on `{line}`");
            }
        }
    }
}

#[test]
fn plists() {
    let project = Project::scaffold("demo");
    same("plist/scaffold-app.plist", &project.xpc(&["plist"]).ok().stdout);
    same("plist/scaffold-service.plist", &project.xpc(&["plist", "demo-service"]).ok().stdout);

    let project = Plain::default()
        .app("name = \"Demo App\"\nicon = \"demo.icns\"\nbuild-number = \"42\"\nui-element = true\nminimum-system-version = \"12.3.1\"\ninfo-plist = \"more.plist\"\n")
        .service(
            "name = \"Greeter\"\nservice-type = \"Application\"\nrun-loop-type = \"NSRunLoop\"\n\
             join-existing-session = true\nenvironment = { GREETING = \"hello <&>\", A = \"\" }\n\
             minimum-system-version = \"14.0\"\n",
        )
        .make();
    project.write("app/demo.icns", "icns");
    let more = "<plist version=\"1.0\"><dict><key>NSHumanReadableCopyright</key><string>©</string></dict></plist>";
    project.write("app/more.plist", more);
    same("plist/full-app.plist", &project.xpc(&["plist"]).ok().stdout);
    same("plist/full-service.plist", &project.xpc(&["plist", "greeter"]).ok().stdout);
    let json = project.xpc(&["plist", "greeter", "--message-format", "json"]).ok().stdout;
    same("plist/full-service.json", &json);
}

#[test]
fn list() {
    let project = Plain::default().services(&["greeter", "counter"]).make();
    project.edit("app/Cargo.toml", "[\"greeter\", \"counter\"]", "[\"greeter\"]");
    same("list.txt", &project.xpc(&["list"]).ok().stdout);
}

/// Whoever reads answers by program finds each kind described.
#[test]
fn every_kind_of_answer_is_in_the_documentation() {
    let described = std::fs::read_to_string(checkout().join("docs/json.md")).unwrap();
    let described: BTreeSet<&str> = described
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|it| *it != "reason")
        .collect();
    let mut made = BTreeSet::new();
    for file in std::fs::read_dir(checkout().join("cargo-xpc/src/cli")).unwrap() {
        let path = file.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        for call in ["json(\"", "ui.plan(\"", "print(ui, \""] {
            made.extend(text.split(call).skip(1).filter_map(|rest| Some(rest.split('"').next()?.to_owned())));
        }
    }
    assert_eq!(described, made.iter().map(String::as_str).collect());
}
