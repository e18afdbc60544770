//! A file that a source reads itself: what was last seen of it, and a look every second whether it changed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::cache::Slot;
use crate::config::secret_source::read_file;

/// A file and what was seen of it when it was last read.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    /// None until it is read for the first time: nobody waits for its changes before.
    seen: Mutex<Option<Stamp>>,
}

/// What tells one content of a file from the next; none for a file that is not there.
type Stamp = Option<(i64, i64, u64, u64)>;

impl Watched {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            seen: Mutex::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it. Blocks for the time of a small file.
    ///
    /// # Errors
    /// What the system says; also where it is no regular file or has more than `cap` bytes.
    pub fn read(&self, cap: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        // Before it is read: what changes in between is seen by the next look.
        self.remember();
        read_file(&self.path, cap).map(Zeroizing::new)
    }

    /// Takes what is there now as seen.
    pub fn remember(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(stamp(&self.path));
    }

    /// Whether it is another than the one that was read.
    pub fn has_changed(&self) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_some_and(|seen| seen != stamp(&self.path))
    }
}

/// Through symbolic links, by which Kubernetes swaps whole folders.
fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
}

/// Has `slot` fetched anew whenever the file of its source changes, for as long as the slot is there.
pub(super) fn follow(slot: &Arc<Slot>, control: &Handle) {
    if slot.source.watched().is_some() {
        control.spawn(look(Arc::downgrade(slot)));
    }
}

async fn look(slot: Weak<Slot>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let Some(slot) = slot.upgrade() else {
            return;
        };
        if slot.source.watched().is_some_and(Watched::has_changed) {
            slot.force();
        }
    }
}

const PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("bearerd-watched-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder.join(name)
    }

    #[test]
    fn a_change_counts_from_the_first_reading_on() {
        let path = file("token");
        fs::write(&path, "one").unwrap();
        let watched = Watched::new(path.clone());
        fs::write(&path, "two or more").unwrap();
        assert!(!watched.has_changed(), "nobody has read it");
        assert_eq!(watched.read(100).unwrap().as_slice(), b"two or more");
        assert!(!watched.has_changed());
        fs::write(&path, "three").unwrap();
        assert!(watched.has_changed());
        watched.remember();
        assert!(!watched.has_changed());
    }

    #[test]
    fn a_file_that_comes_or_goes_is_a_change() {
        let path = file("comes");
        let _ = fs::remove_file(&path);
        let watched = Watched::new(path.clone());
        assert!(watched.read(100).is_err());
        fs::write(&path, "here").unwrap();
        assert!(watched.has_changed());
        watched.read(100).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(watched.has_changed());
    }

    #[test]
    fn a_link_that_points_elsewhere_is_a_change() {
        let (one, two, link) = (file("a"), file("b"), file("link"));
        fs::write(&one, "same").unwrap();
        fs::write(&two, "same").unwrap();
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let watched = Watched::new(link.clone());
        watched.read(100).unwrap();
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&two, &link).unwrap();
        assert!(watched.has_changed());
    }
}
