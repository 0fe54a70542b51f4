//! Builds of crates with dependencies of their own.

use crate::manifest::Manifest;
use crate::{explain, link, run, Build, Outcome};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Sources of the crates that Debian packages.
const DEBIAN: &str = "/usr/share/cargo/registry";
const DEBIAN_ARGUMENTS: [&str; 5] = [
    "--offline",
    "--config",
    "source.crates-io.replace-with=\"debian\"",
    "--config",
    "source.debian.directory=\"/usr/share/cargo/registry\"",
];

/// Builds the program. Returns false when the handler is missing or of another type.
pub fn build(build: &Build, manifest: &Manifest) -> Outcome<bool> {
    let file = build.root.join("Cargo.toml");
    let text = manifest.with_library(&build.entry.to_string_lossy());
    fs::write(&file, text).map_err(|error| explain(&file, error))?;
    let package = build.scratch.join("function");
    write_package(build, manifest, &package)?;
    let sources = find_sources(build, &package)?;
    // Alone first, so that its errors are not taken for those of the program.
    run(cargo(build, &package, "build", sources).args([
        "--release",
        "--lib",
        "--package",
        &manifest.package,
    ]))?;
    if !link(cargo(build, &package, "build", sources).arg("--release"))? {
        return Ok(false);
    }
    let built = build.cache.join("target/release/minifn-function");
    fs::copy(&built, build.program()).map_err(|error| explain(&built, error))?;
    Ok(true)
}

/// Writes the package of the program, which has the function's as a dependency.
fn write_package(build: &Build, manifest: &Manifest, package: &Path) -> Outcome<()> {
    let text = format!(
        "[package]\nname = \"minifn-function\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
         [[bin]]\nname = \"minifn-function\"\npath = {:?}\n\n\
         [dependencies]\n\
         handler = {{ path = {:?}, package = {:?} }}\n\
         minifn-worker = {{ path = {:?} }}\n\n\
         [patch.crates-io]\nopenruntimes-types-for-rust = {{ path = {:?} }}\n\n\
         [profile.release]\nstrip = true\n\n[workspace]\n",
        build.wrapper.join("main.rs"),
        build.root,
        manifest.package,
        build.wrapper.join("worker"),
        build.wrapper.join("types"),
    );
    fs::create_dir_all(package).map_err(|error| explain(package, error))?;
    let file = package.join("Cargo.toml");
    fs::write(&file, text).map_err(|error| explain(&file, error))?;
    let lock = build.root.join("Cargo.lock");
    if lock.is_file() {
        fs::copy(&lock, package.join("Cargo.lock")).map_err(|error| explain(&lock, error))?;
    }
    Ok(())
}

/// Fetches the dependencies: what the machine has, then what the network has, then what Debian
/// has. Returns the arguments of Cargo for the first of them that has all.
fn find_sources(build: &Build, package: &Path) -> Outcome<&'static [&'static str]> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let fetch = |sources| {
        let mut command = cargo(build, package, "fetch", sources);
        command.args(["--quiet", "--target", &target]);
        command
    };
    if run(fetch(&["--offline"]).stderr(Stdio::null())).is_ok() {
        return Ok(&["--offline"]);
    }
    let online = fetch(&[]).output().map_err(|error| explain(&build.rustc, error))?;
    if online.status.success() {
        return Ok(&["--offline"]);
    }
    if Path::new(DEBIAN).is_dir() && run(fetch(&DEBIAN_ARGUMENTS).stderr(Stdio::null())).is_ok() {
        return Ok(&DEBIAN_ARGUMENTS);
    }
    Err(String::from_utf8_lossy(&online.stderr).into_owned())
}

/// Returns a command of Cargo. It runs in the function's folder, whose `.cargo` it heeds.
fn cargo(build: &Build, package: &Path, name: &str, sources: &[&str]) -> Command {
    let mut command = Command::new(build.rustc.with_file_name("cargo"));
    command.current_dir(&build.root).arg(name).args(sources);
    command.arg("--manifest-path").arg(package.join("Cargo.toml"));
    command.env("CARGO_NET_RETRY", "0");
    command.env("CARGO_HOME", build.cache.join("cargo"));
    command.env("CARGO_TARGET_DIR", build.cache.join("target"));
    // Panics name files as they are in the code.
    command.env("RUSTFLAGS", format!("--remap-path-prefix={}/=", build.root.display()));
    command
}
