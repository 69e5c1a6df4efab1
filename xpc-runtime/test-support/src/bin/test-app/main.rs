//! Runs the scenario that its first argument names, against the services in its bundle; a failed assertion is its exit
//! status. What Conformance.app asks is not asked again, but for what the sanitizers should see.

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod deaths;
#[cfg(target_os = "linux")]
mod endpoints;
#[cfg(target_os = "linux")]
mod launching;
#[cfg(target_os = "linux")]
mod messages;

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    let scenario = std::env::args().nth(1).expect("a scenario");
    match scenario.as_str() {
        "reply-by-name" => messages::reply_by_name(),
        "attachments" => messages::attachments(),
        "endpoint" => endpoints::endpoint(),
        "endpoint-descriptors" => endpoints::endpoint_descriptors(),
        "many-descriptors" => messages::many_descriptors(),
        "barrier-across-deaths" => deaths::barrier_across_deaths(),
        "launch-on-message" => launching::launch_on_message(),
        "kill-while-pending" => deaths::kill_while_pending(),
        "panic" => deaths::panic_in_the_service(),
        "absent-program" => deaths::absent_program(),
        "foreign-program" => deaths::foreign_program(),
        "broken-service" => deaths::broken_service(),
        "concurrent-requests" => messages::concurrent_requests(),
        "dropped-connection" => messages::dropped_connection(),
        "one-instance" => launching::one_instance(),
        "service-of-a-service" => launching::service_of_a_service(),
        "helper-processes" => launching::helper_processes(),
        "helper" => launching::helper(),
        "environment" => launching::environment(),
        "output" => messages::output(),
        "many-deaths" => deaths::many_deaths(),
        "crash-loop" => deaths::crash_loop(),
        "no-descriptors" => launching::no_descriptors(),
        "hold" => launching::hold(),
        other => panic!("unknown scenario {other}"),
    }
    println!("{scenario} passed");
}
