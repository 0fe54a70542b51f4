//! The program of a function.

fn main() {
    minifn_worker::serve(handler::main)
}
