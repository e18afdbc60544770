//! `store: { file: ... }`: a folder with one sealed file for each slot.
//!
//! Files, and not an embedded database: a record is written once for each token call, by one writer, and read once at
//! a start. Written aside, synced and renamed, each is whole at any moment; one that is damaged costs its own slot
//! alone; and a lock file for each slot lets several processes (a new one while the old one drains, `bearerd login`)
//! share the folder.

use std::{
    fmt, fs,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    Claim, Claimed, Keyring, Place, Record, SlotId, Store, StoreError, aside,
    disk::{self, Lock, at},
    record,
    seal::SealError,
};
use crate::{clock, config::secret_source::read_file, credentials::BoxFuture};

/// A folder of records. Nothing is read or made before the first one is asked for.
#[derive(Clone)]
pub struct FileStore(Arc<Folder>);

struct Folder {
    path: PathBuf,
    keys: Keyring,
    most: usize,
    /// Whether the folder was found to be ours.
    ready: Mutex<bool>,
    kept: AtomicUsize,
    /// Records written since those that had ended were last taken out.
    written: AtomicUsize,
}

impl FileStore {
    /// In the folder at `path`, which holds `most` records at once; more only of those that nothing else could replace.
    pub fn new(path: PathBuf, keys: Keyring, most: usize) -> Self {
        Self(Arc::new(Folder {
            path,
            keys,
            most,
            ready: Mutex::default(),
            kept: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
        }))
    }

    /// What others than its owner may do with the folder at `path`, if it is there.
    pub fn exposure(path: &Path) -> Option<&'static str> {
        disk::exposure(path)
    }

    /// Whether a symbolic link stands at `path`, which is not followed.
    pub fn is_link(path: &Path) -> bool {
        // Of `store/`, the system would look at what the link leads to.
        let path: PathBuf = path.components().collect();
        fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
    }

    async fn read(&self, id: &SlotId) -> Result<Option<Record>, StoreError> {
        let (folder, id) = (Arc::clone(&self.0), *id);
        aside(move || folder.open().and_then(|()| folder.read(&id))).await
    }
}

impl Store for FileStore {
    fn claim<'a>(
        &'a self,
        id: &'a SlotId,
        after: u64,
    ) -> BoxFuture<'a, Result<Claimed, StoreError>> {
        Box::pin(async move {
            if let Some(record) = self.read(id).await?.filter(|it| it.is_newer(after)) {
                return Ok(Claimed::Theirs(record));
            }
            let place = self.0.file(&self.0.keys.place(id));
            let lock = disk::lock(&place.with_extension("lock")).await?;
            // Read again: whoever held it before may have fetched.
            let claim = |record| {
                let claim = FileClaim {
                    folder: Arc::clone(&self.0),
                    id: *id,
                    _lock: lock,
                };
                Claimed::Ours(Box::new(claim), record)
            };
            Ok(match self.read(id).await? {
                Some(record) if record.is_newer(after) => Claimed::Theirs(record),
                record => claim(record),
            })
        })
    }

    fn newest<'a>(&'a self, id: &'a SlotId) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(self.read(id))
    }
}

struct FileClaim {
    folder: Arc<Folder>,
    id: SlotId,
    _lock: Lock,
}

impl Claim for FileClaim {
    fn save<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        let (folder, id, record) = (Arc::clone(&self.folder), self.id, record.clone());
        Box::pin(aside(move || folder.write(&id, &record)))
    }
}

impl Folder {
    /// Makes sure that the folder is ours: once, and again where somebody took it away.
    fn open(&self) -> Result<(), StoreError> {
        // Whoever puts one there decides what is written to, and what is set aside as not ours.
        if FileStore::is_link(&self.path) {
            let shown = self.path.display();
            let why = format!("{shown} is a symbolic link: give the folder that it leads to");
            return Err(StoreError::lasting(why));
        }
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if *ready && self.path.join(MARK).exists() {
            return Ok(());
        }
        // As nearly always: then what is kept is read also where nothing can be written, on a full disk or a read-only one.
        *ready = self.is_marked();
        if !*ready {
            self.make_ours()?;
            *ready = true;
        }
        if let Err(error) = disk::sweep_unfinished(&self.path) {
            tracing::debug!(%error, "what a crash left half written could not be swept");
        }
        self.sweep_or_not();
        Ok(())
    }

    /// Whether a process with our key has found the folder to be ours before.
    fn is_marked(&self) -> bool {
        let mark = read_file(&self.path.join(MARK), 1024);
        mark.is_ok_and(|mark| {
            self.keys.is_newest(&mark) && self.keys.open(&MARKED, 0, &mark).is_ok()
        })
    }

    fn make_ours(&self) -> Result<(), StoreError> {
        let failed = |error| at(&self.path, &error);
        if fs::metadata(&self.path).is_ok_and(|found| !found.is_dir()) {
            let away = self.path.with_added_extension(away());
            fs::rename(&self.path, &away).map_err(failed)?;
            tell(&self.path, &away, "it is no folder");
        }
        disk::make_folder(&self.path).map_err(failed)?;
        let lock = self.path.join(MARK).with_extension("lock");
        // Held by another process that starts with us, for no longer than this takes.
        let _lock = disk::lock_soon(&lock).map_err(failed)?;
        if let Some(why) = self.not_ours().map_err(failed)? {
            let away = self.path.join(away());
            self.empty_into(&away).map_err(failed)?;
            tell(&self.path, &away, &why);
        }
        let mark = self.keys.seal(&MARKED, b"", zeroize::Zeroizing::default());
        disk::replace(&self.path.join(MARK), &mark).map_err(failed)
    }

    /// Why what is in the folder is not ours; none where it is, or where there is nothing.
    fn not_ours(&self) -> io::Result<Option<String>> {
        match read_file(&self.path.join(MARK), 1024) {
            Ok(mark) => {
                let opened = self.keys.open(&MARKED, 0, &mark);
                Ok(opened.err().map(|error| error.to_string()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut names = self.names()?;
                let foreign = names.any(|name| is_content(&name));
                Ok(foreign.then(|| SealError::Foreign.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    fn empty_into(&self, away: &Path) -> io::Result<()> {
        disk::make_folder(away)?;
        for name in self.names()?.filter(|name| is_content(name)) {
            fs::rename(self.path.join(&name), away.join(&name))?;
        }
        Ok(())
    }

    fn read(&self, id: &SlotId) -> Result<Option<Record>, StoreError> {
        let places = [Some(self.keys.place(id)), self.keys.older_place(id)];
        for place in places.into_iter().flatten() {
            let file = self.file(&place);
            let sealed = match read_file(&file, LARGEST_FILE) {
                Ok(sealed) => sealed,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // Larger than any of ours, or no file.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.set_aside(&file, &error.to_string())?;
                    continue;
                }
                Err(error) => return Err(at(&file, &error)),
            };
            let opened = self.keys.open(&place, COVER, &sealed);
            let text = opened
                .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|_| SealError::Foreign));
            match text {
                Ok(text) => return Ok(Some(Record::from_text(text))),
                Err(error) => self.set_aside(&file, &error.to_string())?,
            }
        }
        Ok(None)
    }

    fn write(&self, id: &SlotId, record: &Record) -> Result<(), StoreError> {
        let place = self.keys.place(id);
        let file = self.file(&place);
        let is_new = !file.exists();
        if is_new && self.is_full() && !record.is_irreplaceable() {
            return Err(StoreError::new(format!("it holds {} records", self.most)));
        }
        let sealed = self
            .keys
            .seal(&place, &cover(record), record::to_bytes(&record.to_text())?);
        disk::replace(&file, &sealed).map_err(|error| at(&file, &error))?;
        if is_new {
            self.kept.fetch_add(1, Ordering::Relaxed);
        }
        self.written.fetch_add(1, Ordering::Relaxed);
        if let Some(older) = self.keys.older_place(id) {
            let _ = fs::remove_file(self.file(&older));
        }
        Ok(())
    }

    /// Whether there is no room for one more, after what has ended was taken out.
    fn is_full(&self) -> bool {
        let kept = self.kept.load(Ordering::Relaxed);
        let due = kept.max(SWEEPS_AFTER);
        if kept >= self.most || self.written.load(Ordering::Relaxed) >= due {
            self.sweep_or_not();
        }
        self.kept.load(Ordering::Relaxed) >= self.most
    }

    fn sweep_or_not(&self) {
        if let Err(error) = self.sweep() {
            tracing::debug!(%error, "the store could not be swept");
        }
    }

    /// Takes out the records that have ended.
    fn sweep(&self) -> io::Result<()> {
        self.written.store(0, Ordering::Relaxed);
        let now = clock::unix_time().as_secs();
        let mut kept = 0;
        for name in self.names()?.filter(|name| is_record(name)) {
            let path = self.path.join(&name);
            match cover_of(&path) {
                Ok(Some((false, ends))) if ends < now => fs::remove_file(&path)?,
                Ok(_) => kept += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.kept.store(kept, Ordering::Relaxed);
        Ok(())
    }

    fn set_aside(&self, file: &Path, why: &str) -> Result<(), StoreError> {
        let failed = |error| at(file, &error);
        let folder = self.path.join(AWAY);
        disk::make_folder(&folder).map_err(failed)?;
        let known = fs::read_dir(&folder).map_err(failed)?.count();
        let name = file.file_stem().unwrap_or_default();
        let away = folder.join(name);
        if known >= MOST_AWAY && !away.exists() {
            // A record is no loss that a token call would not mend; a disk that is full is.
            fs::remove_file(file).map_err(failed)?;
        } else {
            fs::rename(file, &away).map_err(failed)?;
        }
        self.kept.fetch_sub(1, Ordering::Relaxed);
        tell(file, &away, why);
        Ok(())
    }

    fn file(&self, place: &Place) -> PathBuf {
        self.path.join(place.hex()).with_extension(ENDING)
    }

    fn names(&self) -> io::Result<impl Iterator<Item = String>> {
        let entries = fs::read_dir(&self.path)?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileStore").field(&self.0.path).finish()
    }
}

fn tell(what: &Path, away: &Path, why: &str) {
    let (what, away) = (what.display(), away.display());
    tracing::warn!(%what, %away, why, "set aside, and begun anew");
}

/// What a sweep must know of a record without opening it: whether it is irreplaceable, and when it ends.
fn cover(record: &Record) -> [u8; COVER] {
    let mut cover = [0; COVER];
    cover[0] = record.is_irreplaceable().into();
    cover[1..].copy_from_slice(&record.ends().as_secs().to_be_bytes());
    cover
}

fn cover_of(path: &Path) -> io::Result<Option<(bool, u64)>> {
    let mut head = [0; Keyring::COVER_AT + COVER];
    match File::open(path)?.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    // What is no record of ours is found out, and told, when it is read.
    if !Keyring::is_sealed(&head) {
        return Ok(None);
    }
    let cover = head[Keyring::COVER_AT..].split_first();
    Ok(cover.and_then(|(flag, ends)| {
        let ends = ends.try_into().ok().map(u64::from_be_bytes)?;
        Some((*flag != 0, ends))
    }))
}

fn is_record(name: &str) -> bool {
    name.ends_with(".sealed")
}

/// Whether it is more than what we or the file system put there by the way.
fn is_content(name: &str) -> bool {
    let ours = name.starts_with(AWAY) || name.ends_with(".lock") || name.ends_with(".new");
    !ours && name != "lost+found"
}

fn away() -> String {
    format!("{AWAY}-{}", clock::unix_time().as_secs())
}

const MARK: &str = "bearerd-store";
const MARKED: Place = Place([0; 32]);
const ENDING: &str = "sealed";
const AWAY: &str = "set-aside";
const MOST_AWAY: usize = 100;
const COVER: usize = 9;
const LARGEST_FILE: u64 = record::LARGEST as u64 + 1024;
const SWEEPS_AFTER: usize = 1000;
