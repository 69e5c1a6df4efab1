//! A service that activates no connection.

fn main() -> ! {
    xpc_runtime::xpc_main(drop)
}
