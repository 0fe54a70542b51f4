pub const TEXT: &str = "near";
