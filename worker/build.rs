//! Links the unwinder into the worker, in place of a `libgcc_s.so.1` that Python's process would have to load for it.
//! A panic never leaves the worker, so its unwinder is nobody else's business.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is_native = env::var("TARGET").ok() == env::var("HOST").ok();
    let is_gnu = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu");
    // std asks for libgcc_s by name, so this is a linker script of that name. Where the archive is not there, all is
    // left as it is.
    if is_native && is_gnu && has_archive() {
        let directory = env::var("OUT_DIR").expect("cargo sets it");
        fs::write(Path::new(&directory).join("libgcc_s.so"), "GROUP ( -lgcc_eh -lgcc )\n")
            .expect("OUT_DIR can be written to");
        println!("cargo:rustc-link-search=native={directory}");
    }
}

/// Whether the C compiler that links has the unwinder as an archive.
fn has_archive() -> bool {
    let said = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    // Without such a file it says its bare name.
    said.is_ok_and(|said| said.stdout.contains(&b'/'))
}
