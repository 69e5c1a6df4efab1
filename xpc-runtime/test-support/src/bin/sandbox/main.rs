//! An app and its services in one program: what a sandboxed service may do. Runs the scenario that its first argument
//! names. `ROOM` in its environment is a folder outside of the bundle.

#[cfg(target_os = "linux")]
mod app;
#[cfg(target_os = "linux")]
mod attempts;
#[cfg(target_os = "linux")]
mod service;

#[cfg(target_os = "linux")]
fn main() {
    if std::env::var("XPC_SERVICE_NAME").is_ok() {
        service::serve();
    }
    app::run(&std::env::args().nth(1).expect("a scenario"));
}

#[cfg(not(target_os = "linux"))]
fn main() {}
