//! `cargo xpc test`.

use integration_tests::Project;

const GREETS: &str = r#"
use xpc_runtime::{Connection, Dictionary};

#[test]
fn the_service_answers() {
    let service = Connection::service(PACKAGE_interface::SERVICE_NAME).activate();
    let reply = service.send_with_reply_blocking(&Dictionary::new().with("name", "test")).unwrap();
    assert_eq!(reply.string("greeting").unwrap(), "Hello, test!");
}

#[test]
fn another_that_fails() {
    assert!(std::env::var_os("FAIL").is_none(), "as asked");
}
"#;

/// A scaffold with a test of its service in the app's package.
fn project(name: &str) -> Project {
    let project = Project::scaffold(name);
    project.write("app/tests/greets.rs", GREETS.replace("PACKAGE", name));
    project
}

#[test]
fn tests_reach_the_services_of_the_app() {
    let project = project("tested");
    let all = project.xpc(&["test"]).ok();
    assert!(all.stdout.contains("test the_service_answers ... ok"), "{}", all.stdout);
    assert!(all.stderr.contains("Bundled") && all.stderr.contains("Testing with the services of"), "{}", all.stderr);
    // What is given goes to cargo: a filter, a target, and arguments of the test programs.
    let one = project.xpc(&["test", "the_service", "-p", "tested", "--test", "greets", "--", "--exact"]).ok();
    assert!(one.stdout.contains("0 passed") && one.stdout.contains("2 filtered out"), "{}", one.stdout);
    let failed = project.xpc(&["test", "--app", "tested", "--test", "greets"]).env("FAIL", "1").run();
    assert_eq!(failed.code, 101, "{}", failed.stderr);
    assert!(failed.stdout.contains("the_service_answers ... ok") && failed.stdout.contains("as asked"), "{failed:?}");
    project.xpc(&["test", "--app", "nobody"]).fails(2, &["nobody"]);
}

/// It said that the app is Tauri's to make, and offered an option that this subcommand does not have.
#[test]
fn the_services_of_a_tauri_app_are_reached() {
    let project = project("tauried");
    project.edit("app/Cargo.toml", "identifier = \"com.example.tauried\"\n", "");
    project.write("app/tauri.conf.json", "{ \"productName\": \"Ta uri\", \"identifier\": \"com.example.tauried\" }");
    let all = project.xpc(&["test", "the_service"]).ok();
    assert!(all.stdout.contains("test the_service_answers ... ok"), "{}", all.stdout);
    assert!(all.stderr.contains("/Ta uri.app\n"), "{}", all.stderr);
    project.xpc(&["run"]).fails(2, &["is a Tauri app", "cargo xpc embed"]);
}

/// The services were built for this machine, and the tests for the one in cargo's configuration.
#[test]
fn tests_are_built_for_this_machine_where_the_configuration_names_another() {
    let project = project("crossed");
    project.write(".cargo/config.toml", "[build]\ntarget = \"aarch64-apple-darwin\"\n");
    let all = project.xpc(&["test", "the_service"]).ok();
    assert!(all.stdout.contains("test the_service_answers ... ok"), "{}", all.stdout);
}
