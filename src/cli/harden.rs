//! What the process gives up before it holds a secret.

use rustix::process::{self, Resource, Rlimit};

/// Forbids core dumps, which would hold every token, and lifts the limit of open files as far as allowed.
///
/// Each is tried; a system that refuses is told of in the log and served all the same.
pub(super) fn harden() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = process::setrlimit(Resource::Core, none) {
        tracing::warn!("core dumps can't be switched off: {error}");
    }
    // Also keeps other processes of the same user from attaching and reading memory.
    #[cfg(target_os = "linux")]
    if let Err(error) = process::set_dumpable_behavior(process::DumpableBehavior::NotDumpable) {
        tracing::warn!("the process stays open to debuggers: {error}");
    }
    let files = process::getrlimit(Resource::Nofile);
    let lifted = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    if files.current != files.maximum && process::setrlimit(Resource::Nofile, lifted).is_err() {
        tracing::warn!(
            limit = files.current,
            "the limit of open files stays as it is"
        );
    }
}
