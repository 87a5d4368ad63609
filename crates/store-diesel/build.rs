//! The migrations are embedded: build again when they change.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
