//! What a build needs to know of a Cargo.toml; Cargo itself reports its errors.

/// Crates that are compiled once for all functions.
const SHARED: [&str; 4] = ["openruntimes", "openruntimes-types-for-rust", "serde", "serde_json"];

pub struct Manifest {
    pub package: String,
    pub edition: String,
    /// Whether the package has more than sources and the shared crates.
    pub needs_cargo: bool,
    text: String,
}

impl Manifest {
    pub fn parse(text: &str) -> Self {
        let mut manifest = Manifest {
            package: "handler".to_string(),
            edition: "2015".to_string(),
            needs_cargo: false,
            text: text.to_string(),
        };
        let mut table = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(name) = table_name(line) {
                table = name.to_string();
                manifest.needs_cargo |= table_needs_cargo(name);
            } else if let Some((key, value)) = line.split_once('=') {
                manifest.read(&table, key.trim(), value.trim());
            }
        }
        manifest
    }

    fn read(&mut self, table: &str, key: &str, value: &str) {
        match (table, key) {
            ("package", "name") => self.package = unquote(value).to_string(),
            ("package", "edition") => self.edition = unquote(value).to_string(),
            ("package", "build" | "links") => self.needs_cargo = true,
            ("dependencies", name) => self.needs_cargo |= !is_shared(name, value),
            _ => (),
        }
    }

    /// Returns the text with the library that has its root at `path`, which may be `src/main.rs`,
    /// by default that of a program.
    pub fn with_library(&self, path: &str) -> String {
        let mut table = "";
        let mut text = String::new();
        for line in self.text.lines() {
            let name = table_name(line.trim());
            table = name.unwrap_or(table);
            if table == "lib" || (table == "package" && line.trim().starts_with("autobins")) {
                continue;
            }
            text += line;
            text += "\n";
            if name == Some("package") {
                text += "autobins = false\n";
            }
        }
        text + &format!("\n[lib]\nname = \"handler\"\npath = {:?}\n", path)
    }
}

fn table_name(line: &str) -> Option<&str> {
    let line = line.split('#').next().unwrap_or("").trim_end();
    let name = line.strip_prefix('[')?.strip_suffix(']')?;
    Some(name.trim_matches(|sign| matches!(sign, '[' | ']' | ' ')))
}

/// Tells whether a table says something about the library, which `rustc` alone does not know.
fn table_needs_cargo(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or("").trim();
    let known = ["package", "lib", "bin", "test", "bench", "example", "dev-dependencies", "badges"];
    !(name == "dependencies" || known.contains(&first))
}

/// Tells whether a dependency is one of the shared crates, with the features that those have.
fn is_shared(name: &str, value: &str) -> bool {
    let features = value.split_once("features").map_or("", |(_, features)| features);
    let features = features.trim_matches(|sign: char| " =[]}\"".contains(sign));
    let plain = !["path", "git", "registry", "default-features", "optional"]
        .iter()
        .any(|key| value.contains(key));
    SHARED.contains(&unquote(name))
        && plain
        && (features.is_empty() || (name == "serde" && features == "derive"))
}

fn unquote(text: &str) -> &str {
    text.split('#').next().unwrap_or("").trim().trim_matches('"')
}
