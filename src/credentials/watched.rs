//! A file that a source reads itself: how it looked when a slot last fetched, and a look every second whether it changed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::{
    Source,
    cache::{Kin, Slot},
};
use crate::config::secret_source::read_file;

/// A file, and what the source has put there itself.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    written: Mutex<Option<Stamp>>,
}

/// What tells one content of a file from the next; none for a file that is not there.
pub(super) type Stamp = Option<(i64, i64, u64, u64)>;

impl Watched {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            written: Mutex::default(),
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
        read_file(&self.path, cap).map(Zeroizing::new)
    }

    /// Takes what is there now as the source's own writing, which is no news.
    pub fn remember(&self) {
        *self.written() = Some(self.stamp());
    }

    pub(super) fn stamp(&self) -> Stamp {
        stamp(&self.path)
    }

    /// Whether somebody else has changed it from `seen` to `now`.
    pub(super) fn is_news(&self, seen: Stamp, now: Stamp) -> bool {
        seen != now && *self.written() != Some(now)
    }

    fn written(&self) -> MutexGuard<'_, Option<Stamp>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the files of a source look now.
pub(super) fn stamps(source: &dyn Source) -> Vec<Stamp> {
    source.watched().iter().map(|file| file.stamp()).collect()
}

/// Through symbolic links, by which Kubernetes swaps whole folders.
fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
}

/// Has `slot` and those of its subjects fetched anew whenever a file of their source changes, for as long as it is there.
pub(super) fn follow(slot: &Arc<Slot>, control: &Handle) {
    if !slot.source.watched().is_empty() {
        control.spawn(look(Arc::downgrade(slot)));
    }
}

async fn look(slot: Weak<Slot>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let Some(slot) = slot.upgrade() else {
            return;
        };
        let now = stamps(&*slot.source);
        match &slot.kin {
            Kin::Root(subjects) => subjects.slots().for_each(|one| one.catch_up(&now)),
            Kin::Alone | Kin::Of(_) => slot.catch_up(&now),
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
    fn another_content_is_news_and_its_own_writing_is_none() {
        let path = file("token");
        fs::write(&path, "one").unwrap();
        let watched = Watched::new(path.clone());
        let seen = watched.stamp();
        assert_eq!(watched.read(100).unwrap().as_slice(), b"one");
        assert!(!watched.is_news(seen, watched.stamp()));
        fs::write(&path, "two or more").unwrap();
        assert!(watched.is_news(seen, watched.stamp()));
        watched.remember();
        assert!(!watched.is_news(seen, watched.stamp()));
        fs::write(&path, "three").unwrap();
        assert!(watched.is_news(seen, watched.stamp()));
    }

    #[test]
    fn a_file_that_comes_or_goes_is_news() {
        let path = file("comes");
        let _ = fs::remove_file(&path);
        let watched = Watched::new(path.clone());
        let missing = watched.stamp();
        assert!(watched.read(100).is_err());
        fs::write(&path, "here").unwrap();
        let here = watched.stamp();
        assert!(watched.is_news(missing, here));
        fs::remove_file(&path).unwrap();
        assert!(watched.is_news(here, watched.stamp()));
    }

    #[test]
    fn a_link_that_points_elsewhere_is_news() {
        let (one, two, link) = (file("a"), file("b"), file("link"));
        fs::write(&one, "same").unwrap();
        fs::write(&two, "same").unwrap();
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let watched = Watched::new(link.clone());
        let seen = watched.stamp();
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&two, &link).unwrap();
        assert!(watched.is_news(seen, watched.stamp()));
    }
}
