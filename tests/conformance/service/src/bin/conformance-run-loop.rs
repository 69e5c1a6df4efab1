//! One of the services of Conformance.app.

fn main() -> ! {
    conformance_service::serve()
}
