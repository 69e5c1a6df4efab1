//! apple-codesign's own program, built by the same compiler with the same profile as what it is compared with.

fn main() {
    if let Err(error) = apple_codesign::cli::main_impl() {
        eprintln!("Error: {error}");
        std::process::exit(1);
    }
}
