//! Cuts the messages out of the generated contract between parties: its clients and servers stand on a whole network.

use std::{env, fs, path::Path};

const CONTRACT: &str = "../src/transport/generated/tacitly.exchange.v1.rs";

fn main() {
    println!("cargo::rerun-if-changed={CONTRACT}");
    let contract = fs::read_to_string(CONTRACT).expect("the contract is checked in");
    let (messages, _) = contract.split_once("/// Generated client implementations.").expect("it ends with a client");
    let out = env::var_os("OUT_DIR").expect("cargo names a folder");
    fs::write(Path::new(&out).join("messages.rs"), messages).expect("cargo's folder can be written");
}
