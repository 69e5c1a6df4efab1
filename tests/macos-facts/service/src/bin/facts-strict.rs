//! A service that requires of its clients what none of them can be.

fn main() -> ! {
    let nobody = macos_facts_service::nobody();
    xpc_runtime::xpc_main(move |peer| match &nobody {
        Ok(nobody) => macos_facts_service::serve(peer.require_peer(nobody)),
        // The app finds that out for itself.
        Err(_) => drop(peer),
    })
}
