//! One of the services of Facts.app.

fn main() -> ! {
    xpc_runtime::xpc_main(macos_facts_service::serve)
}
