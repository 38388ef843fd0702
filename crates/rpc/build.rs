//! Generates the messages and services of `proto/dohle/v1` and the messages of
//! `proto/opentelemetry`, without a protoc on the machine.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("../../proto");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join("dohle/v1"))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    files.sort();
    println!("cargo:rerun-if-changed=../../proto");
    let descriptors = protox::compile(&files, [root])?;
    tonic_prost_build::configure()
        .bytes(".")
        // Written by hand in src/lib.rs, without the secrets.
        .skip_debug([".dohle.v1.UserScramCredential"])
        .compile_fds(descriptors)?;
    let metrics = root.join("opentelemetry/metrics.proto");
    let descriptors = protox::compile([metrics], [root])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
