//! A file that a source reads itself: how it looked when a slot last fetched, and a look every second whether it, or a
//! record that a slot waits for, changed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use zeroize::Zeroizing;

use super::{
    Source,
    cache::{Kin, Slot},
    renewal,
};
use crate::{clock, config::secret_source::read_file};

/// A file that a source reads.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
}

/// What tells one content of a file from the next; none for a file that is not there.
pub(super) type Stamp = Option<(i64, i64, u64, u64)>;

impl Watched {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
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

    pub(super) fn stamp(&self) -> Stamp {
        stamp(&self.path)
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

/// Has `slot` and those of its subjects fetched anew whenever a file of their source changes, for as long as it is there;
/// and has them take up what others have put into the store: a person's login, whatever there is where requests ask in
/// vain, and what an operator has had renewed elsewhere. What is good of users is not compared: they are too many.
pub(super) fn follow(slot: &Arc<Slot>) {
    if slot.common.store.is_some() || !slot.source().watched().is_empty() {
        slot.common
            .process
            .control
            .spawn(look(Arc::downgrade(slot)));
    }
}

async fn look(slot: Weak<Slot>) {
    let mut due = clock::now();
    loop {
        tokio::time::sleep(PERIOD).await;
        let Some(slot) = slot.upgrade() else {
            return;
        };
        let now = stamps(&*slot.source());
        let Kin::Root(subjects) = &slot.kin else {
            slot.catch_up(&now);
            if let Some(store) = &slot.common.store
                && (slot.is_in_need() || due <= clock::now())
            {
                let period = match renewal::waits_for_a_person(&slot) {
                    true => store.period(),
                    false => store.period().max(AT_LEISURE),
                };
                // With jitter: replicas that start together do not all come at once.
                due = clock::now() + period.mul_f64(0.5 + fastrand::f64() / 2.0);
                renewal::compare(&slot, &**store).await;
            }
            continue;
        };
        subjects.slots().for_each(|one| one.catch_up(&now));
        if let Some(store) = &slot.common.store {
            let mut in_need: Vec<_> = subjects.slots().filter(|one| one.is_in_need()).collect();
            fastrand::shuffle(&mut in_need);
            for one in in_need.iter().take(MOST_COMPARED) {
                renewal::compare(one, &**store).await;
            }
        }
    }
}

/// Subjects whose records are looked at in one period.
const MOST_COMPARED: usize = 32;

const PERIOD: Duration = Duration::from_secs(1);

/// How often what is good here is compared with what others have: so long a token serves on that was rotated elsewhere.
const AT_LEISURE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::tests::scratch::Scratch;

    /// An empty folder.
    fn folder() -> Scratch {
        let folder = Scratch::new();
        fs::create_dir(&*folder).unwrap();
        folder
    }

    #[test]
    fn another_content_is_news() {
        let folder = folder();
        let path = folder.join("token");
        fs::write(&path, "one").unwrap();
        let watched = Watched::new(path.clone());
        let seen = watched.stamp();
        assert_eq!(watched.read(100).unwrap().as_slice(), b"one");
        assert_eq!(watched.stamp(), seen);
        fs::write(&path, "two or more").unwrap();
        assert_ne!(watched.stamp(), seen);
    }

    #[test]
    fn a_file_that_comes_or_goes_is_news() {
        let folder = folder();
        let path = folder.join("comes");
        let watched = Watched::new(path.clone());
        let missing = watched.stamp();
        assert!(watched.read(100).is_err());
        fs::write(&path, "here").unwrap();
        let here = watched.stamp();
        assert_ne!(missing, here);
        fs::remove_file(&path).unwrap();
        assert_ne!(here, watched.stamp());
    }

    #[test]
    fn a_link_that_points_elsewhere_is_news() {
        let folder = folder();
        let [one, two, link] = ["a", "b", "link"].map(|name| folder.join(name));
        fs::write(&one, "same").unwrap();
        fs::write(&two, "same").unwrap();
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let watched = Watched::new(link.clone());
        let seen = watched.stamp();
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&two, &link).unwrap();
        assert_ne!(seen, watched.stamp());
    }
}
