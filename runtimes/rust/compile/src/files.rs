//! The files of the code.

use crate::{explain, Outcome};
use std::fs;
use std::path::Path;

const FOLDERS: [&str; 4] = ["target", "vendor", ".cargo", ".git"];
const FILES: [&str; 2] = ["Cargo.toml", "Cargo.lock"];

/// Leaves the program and the files that it may read.
pub fn remove_sources(folder: &Path) -> Outcome<()> {
    for entry in fs::read_dir(folder).map_err(|error| explain(folder, error))? {
        let entry = entry.map_err(|error| explain(folder, error))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_folder = entry.file_type().map_or(false, |kind| kind.is_dir());
        let removed = match is_folder {
            true if FOLDERS.contains(&name.as_str()) => fs::remove_dir_all(&path),
            true => {
                remove_sources(&path)?;
                Ok(())
            }
            false if FILES.contains(&name.as_str()) || name.ends_with(".rs") => {
                fs::remove_file(&path)
            }
            false => Ok(()),
        };
        removed.map_err(|error| explain(&path, error))?;
    }
    Ok(())
}
