//! A secret passes through this process: no core dump holds it, and other processes of
//! the same user cannot read its memory.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Sets the core limit to 0 and makes the process not dumpable. Best effort: where the
/// system refuses, the command still has to work.
pub fn harden() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
