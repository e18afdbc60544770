//! Notices when the files behind a configuration change: by looking every second.
//!
//! Notifications of the kernel would be quicker and are absent on network and overlay file systems, and
//! Kubernetes swaps files through symbolic links in ways that each of them reports differently.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// How often to look.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// The files of the configuration that runs, and what was in them.
#[derive(Debug)]
pub(super) struct Watch {
    files: BTreeMap<PathBuf, Seen>,
    looks: u32,
}

impl Watch {
    /// Remembers what is in `files` now.
    pub(super) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let files = files.into_iter().map(|path| {
            let seen = Seen::now(&path);
            (path, seen)
        });
        Self {
            files: files.collect(),
            looks: 0,
        }
    }

    /// Follows `files` from now on. One that was followed before keeps what was last seen of it, so that a
    /// change during a reload is noticed by the next look.
    pub(super) fn follow(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let mut before = std::mem::take(&mut self.files);
        self.files = files
            .into_iter()
            .map(|path| {
                let seen = before.remove(&path).unwrap_or_else(|| Seen::now(&path));
                (path, seen)
            })
            .collect();
    }

    /// Whether a file changed since it was last looked at. Blocks for as long as reading takes.
    pub(super) fn look(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        // Some file systems keep the time of a changed file: now and then only the contents count.
        let thorough = self.looks.is_multiple_of(10);
        let mut changed = false;
        for (path, seen) in &mut self.files {
            if !thorough && Stat::now(path) == seen.stat {
                continue;
            }
            let now = Seen::now(path);
            changed |= now.contents != seen.contents;
            *seen = now;
        }
        changed
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    stat: Option<Stat>,
    /// A hash; none where the file can't be read. Collisions would only delay a reload to the next change.
    contents: Option<u64>,
}

impl Seen {
    fn now(path: &Path) -> Self {
        // In this order: a change between the two is seen by the next look.
        let stat = Stat::now(path);
        Self {
            stat,
            contents: hash(path),
        }
    }
}

/// What tells most changes at the price of one system call. Symbolic links are followed.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stat {
    fn now(path: &Path) -> Option<Self> {
        let it = fs::metadata(path).ok()?;
        Some(Self {
            device: it.dev(),
            inode: it.ino(),
            size: it.size(),
            modified: (it.mtime(), it.mtime_nsec()),
            changed: (it.ctime(), it.ctime_nsec()),
        })
    }
}

fn hash(path: &Path) -> Option<u64> {
    // A fifo would block the look for ever.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut contents = Vec::new();
    fs::File::open(path)
        .ok()?
        .take(LARGEST)
        .read_to_end(&mut contents)
        .ok()?;
    let mut hasher = DefaultHasher::new();
    contents.hash(&mut hasher);
    Some(hasher.finish())
}

/// Bytes of a file that are looked at.
const LARGEST: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("bearerd-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("a folder");
            Self(folder)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).expect("a file");
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_change_is_noticed_once() {
        let folder = Folder::new("watch-change");
        let path = folder.write("routes.yaml", "a");
        let mut watch = Watch::new([path]);
        assert!(!watch.look());
        folder.write("routes.yaml", "bb");
        assert!(watch.look());
        assert!(!watch.look());
    }

    #[test]
    fn the_same_contents_again_are_no_change() {
        let folder = Folder::new("watch-same");
        let path = folder.write("routes.yaml", "a");
        let mut watch = Watch::new([path]);
        let again = folder.write("new.yaml", "a");
        fs::rename(again, folder.0.join("routes.yaml")).expect("renamed");
        assert!(!watch.look());
    }

    #[test]
    fn a_change_during_a_reload_is_noticed_after_it() {
        let folder = Folder::new("watch-follow");
        let path = folder.write("routes.yaml", "a");
        let mut watch = Watch::new([path.clone()]);
        folder.write("routes.yaml", "bb");
        watch.follow([path, folder.write("secret", "s")]);
        assert!(watch.look());
        assert!(!watch.look());
    }

    #[test]
    fn a_swapped_link_is_noticed() {
        let folder = Folder::new("watch-link");
        let (old, new) = (folder.write("old", "a"), folder.write("new", "b"));
        let link = folder.0.join("..data");
        std::os::unix::fs::symlink(old, &link).expect("linked");
        let mut watch = Watch::new([link.clone()]);
        std::os::unix::fs::symlink(new, folder.0.join("..next")).expect("linked");
        fs::rename(folder.0.join("..next"), link).expect("renamed");
        assert!(watch.look());
    }

    #[test]
    fn a_file_that_goes_and_comes_back_changed_twice() {
        let folder = Folder::new("watch-gone");
        let path = folder.write("secret", "a");
        let mut watch = Watch::new([path.clone()]);
        fs::remove_file(&path).expect("removed");
        assert!(watch.look());
        folder.write("secret", "a");
        assert!(watch.look());
    }

    #[test]
    fn contents_that_keep_their_time_are_noticed_in_the_end() {
        let folder = Folder::new("watch-time");
        let path = folder.write("secret", "a");
        let mut watch = Watch::new([path.clone()]);
        folder.write("secret", "b");
        // As if stat told nothing.
        let seen = watch.files.get_mut(&path).expect("watched");
        seen.stat = Stat::now(&path);
        assert!((0..10).any(|_| watch.look()));
    }
}
