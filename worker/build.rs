//! Links the unwinder into the worker, so that Python's process does not load a `libgcc_s.so.1` for it. A panic never
//! leaves the worker, so no other library needs to share its unwinder.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is_native = env::var("TARGET").ok() == env::var("HOST").ok();
    let is_gnu = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu");
    // std links libgcc_s by name, so this linker script has that name. Without the archive nothing is changed.
    if is_native && is_gnu && has_archive() {
        let directory = env::var("OUT_DIR").expect("cargo sets it");
        fs::write(Path::new(&directory).join("libgcc_s.so"), "GROUP ( -lgcc_eh -lgcc )\n")
            .expect("OUT_DIR can be written to");
        println!("cargo:rustc-link-search=native={directory}");
    }
}

/// Whether the linking C compiler has the unwinder as an archive.
fn has_archive() -> bool {
    let said = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    // Without such a file, cc prints the bare name.
    said.is_ok_and(|said| said.stdout.contains(&b'/'))
}
