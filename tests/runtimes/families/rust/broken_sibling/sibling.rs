pub const TEXT: &str = = "sibling";
