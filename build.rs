//! Links `cgi2wsgi-python` so that it finds its libpython where it was built,
//! and tells it which interpreter that is. `cgi2wsgi` itself gets nothing.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let config = pyo3_build_config::get();
    let version = format!("{}.{}", config.version().major, config.version().minor);

    if let (Some(dir), Some(name)) = (config.lib_dir(), config.lib_name()) {
        let found = ["so", "dylib", "a"]
            .iter()
            .any(|suffix| Path::new(dir).join(format!("lib{name}.{suffix}")).exists());
        if !found {
            println!(
                "cargo:warning=lib{name} is not in {dir}: install the development files of \
                 Python {version} (Debian: apt-get install libpython{version}-dev), or choose \
                 another interpreter with PYO3_PYTHON"
            );
        }
        // A libpython outside the loader's path (pyenv, uv, /opt) is found all the same.
        println!("cargo:rustc-link-arg-bin=cgi2wsgi-python=-Wl,-rpath,{dir}");
    }
    if !config.shared() {
        // Extension modules look for Python's symbols in the executable.
        println!("cargo:rustc-link-arg-bin=cgi2wsgi-python=-Wl,--export-dynamic");
    }

    // Inside a virtual environment sys.executable is the environment's: the
    // interpreter behind it is what stays when the environment is removed.
    let executable = config
        .run_python_script(
            "import sys; print(getattr(sys, '_base_executable', None) or sys.executable)",
        )
        .map(|text| text.trim().to_owned())
        .ok()
        .or_else(|| config.executable().map(str::to_owned))
        .unwrap_or_default();
    // Cargo gives these to `cargo run` too: names that cgi2wsgi would take for
    // misspelt settings would have it say so.
    println!("cargo:rustc-env=BUILD_PYTHON={executable}");
    println!("cargo:rustc-env=BUILD_PYTHON_VERSION={version}");
}
