//! Files that are always whole, and locks that end with whoever holds them.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{StoreError, aside};
use crate::clock;

/// Keeps every other process from what the file stands for, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    held: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock is given back: whoever waits for it sees that this file is gone, and makes another. Where it
        // had gone before, what stands there is another's.
        if matches!(is_at(&self.held, &self.path), Ok(true)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Waits for the lock file at `path`, for as long as a fetch can take. Cancel safe.
pub(super) async fn lock(path: &Path) -> Result<Lock, StoreError> {
    let ends = clock::now() + LONGEST_WAIT;
    loop {
        let own = path.to_owned();
        let tried = aside(move || try_lock(&own).map_err(|error| at(&own, &error)));
        if let Some(lock) = tried.await? {
            return Ok(lock);
        }
        if clock::now() >= ends {
            return Err(StoreError::new(format!(
                "another process has held {} for {LONGEST_WAIT:?}",
                path.display()
            )));
        }
        // With jitter: those who wait do not all come at once.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..60))).await;
    }
}

/// The lock, of what is never held for long. Blocks for ten seconds at most.
pub(super) fn lock_soon(path: &Path) -> io::Result<Lock> {
    for _ in 0..1000 {
        if let Some(lock) = try_lock(path)? {
            return Ok(lock);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::new(
        io::ErrorKind::WouldBlock,
        "another process holds its lock",
    ))
}

/// The lock; none where another holds it. Blocks for the time of a small file.
pub(super) fn try_lock(path: &Path) -> io::Result<Option<Lock>> {
    // A named pipe would be waited at for good, and a link would make, or lock, another file.
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Between our opening and our locking it may have been removed by the one before: then nobody else sees ours.
    let same = is_at(&file, path)?;
    Ok(same.then(|| Lock {
        path: path.to_owned(),
        held: file,
    }))
}

/// Whether `file` is the one that stands at `path`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    let there = fs::metadata(path);
    Ok(there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
}

/// Puts a file of these bytes in the place of what is there, for its owner only; on disk when this returns.
///
/// Where it fails, what was there before is still there. Only one at a time may call it for a path.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(UNFINISHED);
    let written = write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    // The name, too, must outlive a loss of power.
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // One that a crash left behind is in nobody's way.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the folder, for its owner only, where there is none.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// What others than its owner may do with a folder that is there.
pub(super) fn exposure(folder: &Path) -> Option<&'static str> {
    let found = fs::metadata(folder).ok().filter(fs::Metadata::is_dir)?;
    match found.mode() & 0o077 {
        0 => None,
        mode if mode & 0o022 != 0 => Some("write to"),
        _ => Some("look into"),
    }
}

/// Takes out what a crash has left half written in a folder; what is being written now is locked by whoever does it.
pub(super) fn sweep_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == UNFINISHED)
            && let Ok(Some(_lock)) = try_lock(&path.with_extension("lock"))
        {
            // Gone meanwhile is as good.
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// An error with the path that it is about.
pub(super) fn at(path: &Path, error: &io::Error) -> StoreError {
    StoreError::new(format!("{}: {error}", path.display()))
}

/// How the name ends of what is not whole yet.
const UNFINISHED: &str = "new";

/// Beyond what a source may take: whoever holds it for longer hangs.
const LONGEST_WAIT: Duration = Duration::from_secs(130);
