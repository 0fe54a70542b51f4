//! Builds a function:
//!
//! ```text
//! compile RUSTC CODE ENTRYPOINT WRAPPER SHARED CACHE SCRATCH
//! ```
//!
//! The crate of the entrypoint is linked with the worker into CODE/.minifn-function, and the sources
//! are removed. A crate that uses only what is compiled in SHARED is compiled by RUSTC, any other
//! one by Cargo, which keeps its files in CACHE.

mod cargo;
mod files;
mod manifest;

use manifest::Manifest;
use std::path::{Path, PathBuf};
use std::process::{exit, Command};

const PROGRAM: &str = ".minifn-function";
const SIGNATURE: &str = "pub fn main(context: openruntimes::Context) -> openruntimes::Response";
/// Edition of a function without a Cargo.toml.
const EDITION: &str = "2021";

pub type Outcome<T> = Result<T, String>;

/// One run of this program.
pub struct Build {
    pub rustc: PathBuf,
    pub code: PathBuf,
    pub wrapper: PathBuf,
    pub shared: PathBuf,
    pub cache: PathBuf,
    pub scratch: PathBuf,
    /// The folder of the function's Cargo.toml, or the code without one.
    pub root: PathBuf,
    /// The entrypoint, relative to it.
    pub entry: PathBuf,
}

fn main() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let outcome = match <[PathBuf; 7]>::try_from(arguments) {
        Ok(arguments) => build(arguments),
        Err(_) => Err("Usage: compile RUSTC CODE ENTRYPOINT WRAPPER SHARED CACHE SCRATCH".into()),
    };
    if let Err(reason) = outcome {
        if !reason.is_empty() {
            eprintln!("{}", reason);
        }
        exit(1);
    }
}

fn build([rustc, code, entrypoint, wrapper, shared, cache, scratch]: [PathBuf; 7]) -> Outcome<()> {
    if !code.join(&entrypoint).is_file() {
        let shown = entrypoint.display();
        return Err(format!("Failed to load entrypoint, file {} does not exist.", shown));
    }
    let folders = entrypoint.ancestors().skip(1);
    let found =
        folders.map(|folder| code.join(folder)).find(|one| one.join("Cargo.toml").is_file());
    let root = found.unwrap_or_else(|| code.clone());
    let entry = code.join(&entrypoint);
    let entry = entry.strip_prefix(&root).map_err(|error| error.to_string())?.to_path_buf();
    let build = Build { rustc, code, wrapper, shared, cache, scratch, root, entry };
    let manifest = build.manifest()?;
    let built = match &manifest {
        Some(manifest) if manifest.needs_cargo || build.root.join("build.rs").is_file() => {
            cargo::build(&build, manifest)?
        }
        _ => build.compile(manifest.map_or(EDITION.to_string(), |one| one.edition))?,
    };
    if !built {
        return Err(format!("{} needs the function\n\n    {}", build.entry.display(), SIGNATURE));
    }
    files::remove_sources(&build.code)
}

impl Build {
    fn manifest(&self) -> Outcome<Option<Manifest>> {
        let file = self.root.join("Cargo.toml");
        if !file.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&file).map_err(|error| explain(&file, error))?;
        Ok(Some(Manifest::parse(&text)))
    }

    pub fn program(&self) -> PathBuf {
        self.code.join(PROGRAM)
    }

    /// Compiles a crate that uses only the shared ones. Returns false when its handler is missing
    /// or of another type.
    fn compile(&self, edition: String) -> Outcome<bool> {
        let library = self.scratch.join("libhandler.rlib");
        let mut command = self.rustc(&edition);
        command.args(["--crate-name", "handler", "--crate-type", "rlib"]);
        for name in ["openruntimes", "serde", "serde_json"] {
            command.arg("--extern").arg(named(name, &self.shared_crate(name)?));
        }
        run(command.arg(&self.entry).arg("-o").arg(&library))?;
        let mut command = self.rustc(EDITION);
        command.args(["--crate-name", "minifn_function", "-C", "strip=symbols"]);
        command.arg("--extern").arg(named("handler", &library));
        let worker = self.shared_crate("minifn_worker")?;
        command.arg("--extern").arg(named("minifn_worker", &worker));
        command.arg(self.wrapper.join("main.rs")).arg("-o").arg(self.program());
        link(&mut command)
    }

    fn rustc(&self, edition: &str) -> Command {
        let mut command = Command::new(&self.rustc);
        command.current_dir(&self.root);
        command.args(["--edition", edition, "-C", "opt-level=3"]);
        // More parts than processors would take longer, and make slower code.
        let parts = std::thread::available_parallelism().map_or(1, |number| number.get());
        command.arg("-C").arg(format!("codegen-units={}", parts));
        let mut search = std::ffi::OsString::from("dependency=");
        search.push(self.shared.join("deps"));
        command.arg("-L").arg(search);
        command
    }

    /// Returns the compiled form of a crate.
    fn shared_crate(&self, name: &str) -> Outcome<PathBuf> {
        let folder = self.shared.join("deps");
        let prefix = format!("lib{}-", name);
        for entry in std::fs::read_dir(&folder).map_err(|error| explain(&folder, error))? {
            let path = entry.map_err(|error| explain(&folder, error))?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            if file.starts_with(&prefix) && file.ends_with(".rlib") {
                return Ok(path);
            }
        }
        Err(format!("{} has no {}.", folder.display(), name))
    }
}

/// Runs a command that compiles main.rs, with its errors to the log. Returns false when they are
/// about the handler.
pub fn link(command: &mut Command) -> Outcome<bool> {
    let output = command.output().map_err(|error| explain(Path::new("main.rs"), error))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    eprint!("{}", errors);
    match output.status.success() {
        true => Ok(true),
        false if errors.contains("handler::main") => Ok(false),
        false => Err(String::new()),
    }
}

/// Runs a command that writes its errors to the log itself; the reason of its failure is "".
pub fn run(command: &mut Command) -> Outcome<()> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(String::new()),
        Err(error) => Err(explain(Path::new(command.get_program()), error)),
    }
}

pub fn explain(path: &Path, error: std::io::Error) -> String {
    format!("{}: {}", path.display(), error)
}

fn named(name: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(name);
    text.push("=");
    text.push(path);
    text
}
