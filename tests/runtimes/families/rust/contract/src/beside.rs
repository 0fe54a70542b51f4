pub const TEXT: &str = "beside";
