//! Regenerates the checked-in Rust of every `.proto` file, with a protobuf compiler in pure Rust: nobody needs `protoc`.
//!
//! `cargo run -p tacitly-codegen` writes, `cargo run -p tacitly-codegen -- --check` compares and fails on a difference.
//! Contracts stand in `protocols/*/proto/` and `src/*/proto/`; what they give goes to the `generated/` folder of that
//! crate or room.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let check = std::env::args().any(|argument| argument == "--check");
    let mut stale = Vec::new();
    for contract in contracts(&root)? {
        for (path, text) in generate(&contract)? {
            if fs::read_to_string(&path).is_ok_and(|found| found == text) {
                continue;
            }
            if check {
                stale.push(path);
            } else {
                fs::create_dir_all(&contract.generated)?;
                fs::write(&path, text)?;
                println!("wrote {}", path.strip_prefix(&root)?.display());
            }
        }
    }
    for path in &stale {
        eprintln!("{} differs from its contract: run `cargo run -p tacitly-codegen`", path.display());
    }
    Ok(if stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Messages of the control service that the CLI prints as JSON.
const PRINTED: [&str; 9] =
    ["StatusReply", "InviteReply", "Peer", "Dataset", "KeyColumn", "Rule", "Job", "Failure", "Event"];

/// A folder of `.proto` files and where their Rust goes.
struct Contract {
    include: PathBuf,
    files: Vec<PathBuf>,
    generated: PathBuf,
}

fn contracts(root: &Path) -> Result<Vec<Contract>, Box<dyn Error>> {
    let mut found = Vec::new();
    for (parent, generated) in [("protocols", "src/generated"), ("src", "generated")] {
        for room in sorted(&root.join(parent))? {
            let include = room.join("proto");
            if !include.is_dir() {
                continue;
            }
            let files: Vec<PathBuf> =
                sorted(&include)?.into_iter().filter(|file| file.extension().is_some_and(|e| e == "proto")).collect();
            found.push(Contract { include, files, generated: room.join(generated) });
        }
    }
    Ok(found)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_, Box<dyn Error>>>()?;
    entries.sort();
    Ok(entries)
}

/// The generated files of one contract, with their text.
fn generate(contract: &Contract) -> Result<Vec<(PathBuf, String)>, Box<dyn Error>> {
    let descriptors = protox::compile(&contract.files, [&contract.include])?;
    let scratch = tempfile::tempdir()?;
    let mut build = tonic_prost_build::configure().bytes(".").out_dir(scratch.path());
    for message in PRINTED {
        build = build.message_attribute(format!("tacitly.control.v1.{message}"), "#[derive(serde::Serialize)]");
    }
    build.compile_fds(descriptors)?;
    let mut written = Vec::new();
    for file in sorted(scratch.path())? {
        let name = file.file_name().ok_or("a generated file has a name")?;
        written.push((contract.generated.join(name), fs::read_to_string(&file)?));
    }
    Ok(written)
}
