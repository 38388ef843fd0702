//! The tools without the server: `cargo run -p dohle-cli --example tool -- topics --list …`.

use std::ffi::OsString;
use std::process::ExitCode;

use dohle_cli::{Command, Host};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let server = |_: Vec<OsString>| {
        eprintln!("the server is not in this program");
        ExitCode::FAILURE
    };
    match dohle_cli::find(&words) {
        Command::Tool(tool, arguments) => {
            let host = Host {
                server,
                directories: |_, _| anyhow::bail!("the server is not in this program"),
                format: |_, _, _, _| anyhow::bail!("the server is not in this program"),
                inspect_voter: |_| anyhow::bail!("the server is not in this program"),
                recover_quorum: |_| anyhow::bail!("the server is not in this program"),
                plan_import: |_| anyhow::bail!("the server is not in this program"),
            };
            dohle_cli::run(tool, arguments, &host)
        }
        Command::Other => {
            for tool in dohle_cli::TOOLS {
                println!("{:<24}{}", tool.name, tool.summary());
            }
            ExitCode::FAILURE
        }
    }
}
