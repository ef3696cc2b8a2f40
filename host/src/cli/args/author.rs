//! The arguments of the commands for authors of adapters.

use std::path::PathBuf;

use clap::ValueEnum;

#[derive(clap::Args)]
pub(in crate::cli) struct New {
    /// The channel type's name: a letter, then letters, digits and `_`, all lower case
    pub name: String,
    /// What it is written in
    #[arg(long, value_enum)]
    pub lang: Lang,
    /// Where the project goes [default: ./NAME]
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// What there are templates for.
#[derive(Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Lang {
    Rust,
    Js,
    Ts,
    Python,
    Go,
    C,
    /// JavaScript that needs no build
    Script,
}

impl Lang {
    /// As the argument and the template's folder are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::Python => "python",
            Self::Go => "go",
            Self::C => "c",
            Self::Script => "script",
        }
    }
}

#[derive(clap::Args)]
pub(in crate::cli) struct Render {
    /// A file, a project's folder, or the name of a built-in adapter
    pub adapter: PathBuf,
    /// The channel's settings: JSON, or a file with it
    #[arg(long, value_name = "JSON|FILE")]
    pub settings: String,
    /// A file with one event, as an application would post it; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub event: PathBuf,
    /// Which attempt of the delivery it is
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempt: u32,
    /// What the last delivered event of the same subject has left
    #[arg(long, value_name = "TEXT")]
    pub reference: Option<String>,
    /// The time of the attempt, such as 2026-11-23T10:15:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub now: Option<String>,
    /// The channel's name [default: test]
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Test {
    /// A file, a project's folder, or the name of a built-in adapter
    pub adapter: PathBuf,
    /// A folder of cases [default: the project's cases/, or NAME.cases beside the file]
    #[arg(long, value_name = "FOLDER")]
    pub cases: Option<PathBuf>,
    /// Write what comes out as what is expected; read it before you commit it
    #[arg(long)]
    pub bless: bool,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Dev {
    /// The project's folder: there is an adapter.toml in it
    pub folder: PathBuf,
    /// Build and show once
    #[arg(long)]
    pub once: bool,
}
