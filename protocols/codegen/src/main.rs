//! Regenerates the checked-in Rust of every `.proto` file, with a protobuf compiler in pure Rust: nobody needs `protoc`.
//!
//! `cargo run -p tacitly-codegen` writes, `cargo run -p tacitly-codegen -- --check` compares and fails on a difference.
//! Contracts stand in `protocols/*/proto/` and `src/*/proto/`; what they give goes to the `generated/` folder of that
//! crate or room.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use protox::prost::Message;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let root = root()?;
    let check = std::env::args().any(|argument| argument == "--check");
    let stale = stale(&root)?;
    for (path, bytes) in &stale {
        let shown = path.strip_prefix(&root)?.display();
        if check {
            eprintln!("{shown} differs from its contract: run `cargo run -p tacitly-codegen`");
        } else {
            fs::create_dir_all(path.parent().ok_or("a generated file has a folder")?)?;
            fs::write(path, bytes)?;
            println!("wrote {shown}");
        }
    }
    Ok(if check && !stale.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn root() -> std::io::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()
}

/// The generated files that are absent or differ from their contract, with the bytes they should have.
fn stale(root: &Path) -> Result<Vec<Generated>, Box<dyn Error>> {
    let mut stale = Vec::new();
    for contract in contracts(root)? {
        stale.extend(generate(&contract)?);
    }
    stale.retain(|(path, bytes)| fs::read(path).ok().as_ref() != Some(bytes));
    Ok(stale)
}

/// Messages of the control service that the CLI prints as JSON.
const PRINTED: [&str; 20] = [
    "StatusReply",
    "RotateIdentityReply",
    "RevokeIdentityReply",
    "InviteReply",
    "Peer",
    "Consortium",
    "Member",
    "Dataset",
    "KeyColumn",
    "Rule",
    "Job",
    "JobParty",
    "Service",
    "Material",
    "Budget",
    "AskedEntry",
    "Failure",
    "Event",
    "ReconcileReply",
    "Mismatch",
];

/// The contract whose description is kept as well, for reflection.
const REFLECTED: &str = "control.proto";

/// A file and the bytes it should have.
type Generated = (PathBuf, Vec<u8>);

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

/// The generated files of one contract, with their bytes: its Rust, and the description that reflection serves.
fn generate(contract: &Contract) -> Result<Vec<Generated>, Box<dyn Error>> {
    let mut descriptors = protox::compile(&contract.files, [&contract.include])?;
    let scratch = tempfile::tempdir()?;
    let mut build = tonic_prost_build::configure().bytes(".").out_dir(scratch.path());
    for message in PRINTED {
        build = build.message_attribute(format!("tacitly.control.v1.{message}"), "#[derive(serde::Serialize)]");
    }
    build.compile_fds(descriptors.clone())?;
    let mut written = Vec::new();
    for file in &mut descriptors.file {
        // Comments and line numbers: the contract itself is the place to read them.
        file.source_code_info = None;
    }
    if contract.files.iter().any(|file| file.ends_with(REFLECTED)) {
        written.push((contract.generated.join("descriptors.bin"), descriptors.encode_to_vec()));
    }
    for file in sorted(scratch.path())? {
        let name = file.file_name().ok_or("a generated file has a name")?;
        written.push((contract.generated.join(name), fs::read(&file)?));
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_code_is_what_the_contracts_give_today() {
        let stale: Vec<PathBuf> = stale(&root().unwrap()).unwrap().into_iter().map(|(path, _)| path).collect();
        assert!(stale.is_empty(), "run `cargo run -p tacitly-codegen`: {stale:?}");
    }

    #[test]
    fn an_absent_and_a_changed_file_are_stale_until_they_are_written() {
        let root = tempfile::tempdir().unwrap();
        let room = root.path().join("src/rpc");
        fs::create_dir_all(room.join("proto")).unwrap();
        fs::create_dir_all(root.path().join("protocols")).unwrap();
        let contract = "syntax = \"proto3\";\npackage tacitly.test.v1;\nmessage Greeting { bytes text = 1; }\n";
        fs::write(room.join("proto/test.proto"), contract).unwrap();
        let found = stale(root.path()).unwrap();
        let [(path, text)] = found.as_slice() else { panic!("one contract gives one file") };
        assert!(String::from_utf8_lossy(text).contains("pub struct Greeting"));
        fs::create_dir_all(room.join("generated")).unwrap();
        fs::write(path, [text.as_slice(), b" "].concat()).unwrap();
        assert_eq!(stale(root.path()).unwrap().len(), 1);
        fs::write(path, text).unwrap();
        assert_eq!(stale(root.path()).unwrap().len(), 0);
    }
}
