//! Killed at any point, the tool leaves what was there, or all of what was to be there.
//!
//! Which points a command comes by is not written down here: a run that is left alone says it, and then one is killed at each of them.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use integration_tests::{Plain, Project, Xpc, checkout, listing};

const TARGET: [&str; 2] = ["--target", "aarch64-apple-darwin"];

/// A command, and what its death at a point may do.
struct Case<'a> {
    project: &'a Project,
    args: Vec<&'a str>,
    /// What it makes anew.
    bundle: Utf8PathBuf,
}

impl Case<'_> {
    fn run(&self) -> Xpc {
        self.project.xpc(&self.args).with_zig()
    }

    /// The project with its sources and bundles, and what the tool keeps in the target directory; not what cargo keeps there.
    fn all(&self) -> BTreeMap<String, String> {
        let mut all = listing(self.project.root());
        all.retain(|name, _| !name.starts_with("target/") || name.starts_with("target/xpc"));
        all
    }

    /// The points that a run comes by.
    fn points(&self) -> BTreeSet<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join("points");
        self.run().env("CARGO_XPC_POINTS", file.as_str()).ok();
        fs_err::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
    }

    /// Kills a run at each point. `before` is put back each time, by `reset`.
    fn killed_everywhere(&self, reset: impl Fn()) -> BTreeSet<String> {
        reset();
        let old = listing(&self.bundle);
        let points = self.points();
        let whole = self.all();
        let new = listing(&self.bundle);
        assert!(old != new, "{:?} changes nothing, so that nothing can be seen", self.args);
        for point in &points {
            reset();
            let before = self.all();
            self.run().stop_at(point).kill();
            let exchanged = matches!(point.as_str(), "exchanged" | "published");
            assert_eq!(listing(&self.bundle), if exchanged { &new } else { &old }.clone(), "{point}");
            // Beside the bundle there are the leftovers, under names that nobody else uses, and nothing else has changed.
            let bundle = self.bundle.strip_prefix(self.project.root()).unwrap();
            let mut left = self.all();
            left.retain(|name, _| !name.contains(".staging-"));
            let others = |all: &BTreeMap<String, String>| -> Vec<_> {
                all.clone().into_iter().filter(|(name, _)| !Utf8Path::new(name).starts_with(bundle)).collect()
            };
            assert_eq!(others(&left), others(&before), "{point}");
            // The next run is not disturbed by them, and removes them.
            self.run().ok();
            assert_eq!(self.all(), whole, "{point}");
        }
        points
    }
}

/// Puts back what a bundle was.
fn keep(bundle: &Utf8Path) -> impl Fn() + use<> {
    let (kept, bundle) = (tempfile::tempdir().unwrap(), bundle.to_owned());
    let copy = |from: &Utf8Path, to: &Utf8Path| {
        let _ = fs_err::remove_dir_all(to);
        integration_tests::must(std::process::Command::new("cp").arg("-a").args([from, to]));
    };
    let place = Utf8PathBuf::from_path_buf(kept.path().join("kept")).unwrap();
    copy(&bundle, &place);
    move || {
        let _ = &kept;
        copy(&place, &bundle);
    }
}

#[test]
fn killed_at_every_point_there_is_the_old_bundle_or_the_new_one() {
    let project = Plain::default().services(&["greeter"]).app("resources = [\"data/**\"]\n").make();
    project.write("app/data/one.txt", "one");
    let bundle = project.root().join("target/xpc/aarch64-apple-darwin/debug/demo.app");
    let made = project.root().join("made/greeter.xpc");
    let args = |first: &[&'static str], more: &[&'static str]| [first, more].concat();
    project.xpc(&args(&["bundle", "--services-only", "--out", "made"], &TARGET)).with_zig().ok();
    project.xpc(&args(&["bundle"], &TARGET)).with_zig().ok();
    let mut points = BTreeSet::new();

    // What is bundled anew has another resource.
    let case = |args: Vec<&'static str>| Case { project: &project, args, bundle: bundle.clone() };
    let reset = keep(&bundle);
    project.write("app/data/one.txt", "changed");
    points.extend(case(args(&["bundle"], &TARGET)).killed_everywhere(&reset));

    let place = "target/xpc/aarch64-apple-darwin/debug/demo.app";
    points.extend(case(vec!["sign", place, "--release"]).killed_everywhere(&reset));

    points.extend(killed_between_two_renames(&case(vec!["sign", place, "--release", "--non-atomic"]), &reset));

    // Into an app without services go one that is built, and one that was made before.
    fs_err::remove_dir_all(bundle.join("Contents/XPCServices")).unwrap();
    project.xpc(&["sign", place]).ok();
    let reset = keep(&bundle);
    points.extend(case(vec!["embed", place, "greeter"]).killed_everywhere(&reset));
    points.extend(case(vec!["embed", place, "made/greeter.xpc"]).killed_everywhere(&reset));
    assert!(made.is_dir());

    points.extend(new_services());
    assert_eq!(points, named_in_the_sources(), "each point has a command that is killed there");
}

/// Where a file system cannot exchange, there is a moment without a bundle; it is not lost.
fn killed_between_two_renames(case: &Case<'_>, reset: &impl Fn()) -> BTreeSet<String> {
    let slow = || case.run().env("CARGO_XPC_NO_EXCHANGE", "1");
    reset();
    let old = listing(&case.bundle);
    case.project.xpc(&case.args[..3]).env("CARGO_XPC_NO_EXCHANGE", "1").fails(74, &["in one step", "`--non-atomic`"]);
    assert_eq!(listing(&case.bundle), old);
    slow().ok();
    let whole = case.all();
    reset();
    slow().stop_at("set-aside").kill();
    assert!(!case.bundle.exists());
    // A dry run looks, and touches nothing.
    case.project.xpc(&["sign", case.args[1], "--dry-run"]).fails(2, &["there is no such folder"]);
    assert!(!case.bundle.exists());
    // The next one puts it back before anything else, and is killed too.
    slow().stop_at("staged").kill();
    assert_eq!(listing(&case.bundle), old);
    slow().stop_at("set-aside").kill();
    let said = slow().ok().stderr;
    assert!(said.contains("is put back: a run was stopped while it replaced it"), "{said}");
    assert_eq!(case.all(), whole);
    BTreeSet::from(["set-aside".to_owned()])
}

/// A new service is not there whole, and nothing that was there knows of it yet.
fn new_services() -> BTreeSet<String> {
    let project = Project::empty();
    let runtime = checkout().join("xpc-runtime");
    project.xpc(&["new", "demo", "--runtime-path", runtime.as_str()]).ok();
    let root = project.root().join("demo");
    let new = |name: &str| Xpc::new(&root, &["new", name, "--runtime-path", runtime.as_str()]);
    let file = project.root().join("points");
    new("counter").env("CARGO_XPC_POINTS", file.as_str()).ok();
    let points: BTreeSet<String> = fs_err::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
    for point in &points {
        let before = listing(&root);
        new("clock").stop_at(point).kill();
        let mut after = listing(&root);
        after.retain(|name, _| !name.starts_with("clock"));
        assert_eq!(after, before, "{point}");
        // A person may have put it there: it is theirs to remove.
        new("clock").fails(2, &["would overwrite", "clock"]);
        for folder in ["clock", "clock-interface"] {
            fs_err::remove_dir_all(root.join(folder)).unwrap();
        }
        new("clock").ok();
    }
    points
}

/// Every point that the sources name.
fn named_in_the_sources() -> BTreeSet<String> {
    let name = regex::Regex::new(r#"faults::point\("([^"]+)"\)"#).unwrap();
    let sources = checkout().join("cargo-xpc/src");
    let files = listing(&sources).into_keys().filter(|name| name.ends_with(".rs"));
    let texts: Vec<_> = files.map(|file| fs_err::read_to_string(sources.join(file)).unwrap()).collect();
    texts.iter().flat_map(|text| name.captures_iter(text)).map(|found| found[1].to_owned()).collect()
}
