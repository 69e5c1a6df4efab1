//! A service that ends before it serves anything.

fn main() {
    std::process::exit(3);
}
