//! Configures the allocator: how soon it returns memory to the system.
#![allow(unsafe_code)]

use std::ffi::c_int;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The number of `mi_option_purge_delay` in mimalloc's `mi_option_e`; the bindings have no constant
/// for it.
const PURGE_DELAY: c_int = 15;

/// How long freed memory is kept, in milliseconds. mimalloc's default of 1,000 keeps more request
/// buffers than the load needs; below 250, returning memory and allocating it again costs CPU time
/// (`docs/performance.md`).
const MILLISECONDS: i64 = 250;

/// Sets the delay, unless `MIMALLOC_PURGE_DELAY` does. Must be called before any thread is started.
pub(crate) fn give_back_soon() {
    // SAFETY: this writes one entry of a static table, within its bounds. It asks for no other
    // thread that uses the options, and `main` has not started any.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, MILLISECONDS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set in the process that [`delay`] starts.
    const CHILD: &str = "DOHLE_TEST_SHOWS_DELAY";

    /// The delay in a process of its own, after `give_back_soon`, as mimalloc sees it.
    fn delay(variable: Option<&str>) -> String {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.env(CHILD, "1").env_remove("MIMALLOC_PURGE_DELAY");
        child.envs(variable.map(|value| ("MIMALLOC_PURGE_DELAY", value)));
        child.args(["--exact", "allocator::tests::shown_in_a_process_of_its_own"]);
        child.arg("--nocapture");
        let output = String::from_utf8(child.output().unwrap().stdout).unwrap();
        let line = output.lines().find_map(|line| line.split_once("delay="));
        line.unwrap_or_else(|| panic!("no delay in {output}"))
            .1
            .to_owned()
    }

    #[test]
    fn shown_in_a_process_of_its_own() {
        if std::env::var_os(CHILD).is_some() {
            give_back_soon();
            // SAFETY: reads one entry of the table, within its bounds; nothing writes it now.
            let delay = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
            println!("delay={delay}");
        }
    }

    #[test]
    fn memory_goes_back_after_a_quarter_of_a_second() {
        assert_eq!(delay(None), "250");
    }

    /// Also shows that the option is the one that it is taken for.
    #[test]
    fn the_environment_outvotes_the_delay() {
        assert_eq!(delay(Some("7")), "7");
    }
}
