//! The `herald` program: [`herald::cli`] is all of it.

/// Small things are made and thrown away on many threads all the time, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    herald::cli::main()
}
