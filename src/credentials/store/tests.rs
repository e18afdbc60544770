use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::{
    clock,
    credentials::{Credential, tests::scratch::Scratch},
    secret::Secret,
};

fn key(byte: u8) -> Secret {
    Secret::new(STANDARD.encode([byte; 32]))
}

fn keys(newest: u8, older: Option<u8>) -> Keyring {
    Keyring::new(&key(newest), older.map(key).as_ref()).unwrap()
}

/// As a process opens it.
fn open(path: &Path) -> FileStore {
    FileStore::new(path.to_owned(), keys(1, None), 100)
}

fn id(n: u8) -> SlotId {
    SlotId([n; 32])
}

fn record(number: u64, token: &str) -> Record {
    let token = Secret::new(token);
    let credential = Credential::bearer(token, Some(Duration::from_secs(600)), clock::now());
    Record::new(&credential, number)
}

fn renewable(number: u64, token: &str) -> Record {
    Record {
        refresh: Some(Secret::new(format!("refresh of {token}"))),
        ..record(number, token)
    }
}

async fn claim(store: &dyn Store, n: u8, after: u64) -> Claimed {
    store.claim(&id(n), after).await.unwrap()
}

/// The right to fetch, and the token of the record that is there.
async fn ours(store: &dyn Store, n: u8, after: u64) -> (Box<dyn Claim>, Option<String>) {
    match claim(store, n, after).await {
        Claimed::Ours(claim, record) => (claim, record.map(|it| token_of(&it))),
        Claimed::Theirs(record) => panic!("there is {} already", token_of(&record)),
    }
}

async fn theirs(store: &dyn Store, n: u8, after: u64) -> String {
    match claim(store, n, after).await {
        Claimed::Theirs(record) => token_of(&record),
        Claimed::Ours(..) => panic!("there is none"),
    }
}

fn token_of(record: &Record) -> String {
    record.parts[0].1.expose().to_owned()
}

async fn put(store: &dyn Store, n: u8, record: &Record) {
    let (mut claim, _) = ours(store, n, u64::MAX).await;
    claim.save(record).await.unwrap();
}

fn sealed_files(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|it| it == "sealed"))
        .collect()
}

fn everything(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        bytes.extend_from_slice(entry.path().as_os_str().as_encoded_bytes());
        match entry.file_type().unwrap().is_dir() {
            true => bytes.extend(everything(&entry.path())),
            false => bytes.extend(fs::read(entry.path()).unwrap()),
        }
    }
    bytes
}

#[tokio::test]
async fn what_one_process_saves_the_next_one_takes() {
    let path = Scratch::new();
    let (mut claim, found) = ours(&open(&path), 1, 0).await;
    assert_eq!(found, None);
    claim.save(&renewable(1, "first")).await.unwrap();
    drop(claim);
    let store = open(&path);
    assert_eq!(theirs(&store, 1, 0).await, "first");
    assert_eq!(store.newest(&id(1)).await.unwrap().unwrap().number, 1);
    assert_eq!(store.newest(&id(2)).await.unwrap(), None);
    // Whoever has that one already may fetch the next.
    assert_eq!(ours(&store, 1, 1).await.1.as_deref(), Some("first"));
}

#[tokio::test]
async fn a_start_on_what_is_ours_writes_nothing() {
    let path = Scratch::new();
    put(&open(&path), 1, &record(1, "first")).await;
    let changed = || {
        let mark = fs::metadata(path.join("bearerd-store")).unwrap();
        let folder = fs::metadata(&path).unwrap();
        (mark.ino(), folder.mtime(), folder.mtime_nsec())
    };
    let before = changed();
    assert_eq!(theirs(&open(&path), 1, 0).await, "first");
    assert_eq!(changed(), before);
    // But with a new key, so that the one before is not needed for ever.
    let store = FileStore::new(path.to_path_buf(), keys(2, Some(1)), 100);
    assert_eq!(theirs(&store, 1, 0).await, "first");
    assert_ne!(changed().0, before.0);
    let store = FileStore::new(path.to_path_buf(), keys(2, None), 100);
    assert_eq!(store.newest(&id(1)).await.unwrap(), None);
    assert!(!path.join("set-aside").exists() && sealed_files(&path).len() == 1);
}

#[tokio::test]
async fn all_of_a_record_comes_back() {
    let path = Scratch::new();
    let whole = Record {
        scope: Some("read write".into()),
        until: Some(clock::unix_time() + Duration::from_secs(60)),
        issued_type: Some("urn:x".into()),
        spending: Some(Spending { since: 7 }),
        rests: Some(Duration::from_millis(8)),
        ends: None,
        ..renewable(3, "first")
    };
    put(&open(&path), 1, &whole).await;
    let Claimed::Theirs(found) = claim(&open(&path), 1, 0).await else {
        panic!("none");
    };
    let millis = |at: Duration| at.as_millis();
    assert_eq!(millis(found.sent), millis(whole.sent));
    assert_eq!(found.until.map(millis), whole.until.map(millis));
    let (sent, until) = (whole.sent, whole.until);
    assert_eq!(
        Record {
            sent,
            until,
            ..found
        },
        whole
    );
}

#[tokio::test]
async fn an_ended_record_is_handed_over_for_its_refresh_token() {
    let path = Scratch::new();
    let ended = Record {
        sent: Duration::from_secs(1000),
        ends: Some(Duration::from_secs(4600)),
        ..renewable(1, "old")
    };
    put(&open(&path), 1, &ended).await;
    assert_eq!(ours(&open(&path), 1, 0).await.1.as_deref(), Some("old"));
}

#[tokio::test]
async fn only_one_process_fetches_and_the_others_take_what_it_brings() {
    let path = Scratch::new();
    let (one, two) = (open(&path), open(&path));
    let (mut claim, _) = ours(&one, 1, 0).await;
    let waiting = tokio::spawn(async move { theirs(&two, 1, 0).await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!waiting.is_finished());
    claim.save(&record(1, "brought")).await.unwrap();
    drop(claim);
    assert_eq!(waiting.await.unwrap(), "brought");
}

#[tokio::test]
async fn what_stands_in_a_lock_s_place_is_neither_followed_nor_waited_at() {
    let path = Scratch::new();
    let store = open(&path);
    put(&store, 1, &record(1, "one")).await;
    let lock = sealed_files(&path)[0].with_extension("lock");
    let elsewhere = path.join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, &lock).unwrap();
    let refused = |claimed: Result<Claimed, StoreError>| claimed.err().unwrap().to_string();
    let error = refused(store.claim(&id(1), NONE_WILL_DO).await);
    assert!(error.ends_with("lock: it is not a regular file"), "{error}");
    assert!(!elsewhere.exists());

    fs::remove_file(&lock).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&lock).status();
    assert!(made.unwrap().success());
    let error = refused(store.claim(&id(1), NONE_WILL_DO).await);
    assert!(error.ends_with("lock: it is not a regular file"), "{error}");
    fs::remove_file(&lock).unwrap();
    drop(ours(&store, 1, NONE_WILL_DO).await);
}

#[test]
fn a_clock_that_was_set_back_opens_no_reuse_window() {
    let spending = Spending { since: 10_000 };
    let within = |seconds, wall| {
        let (window, wall) = (Duration::from_secs(seconds), Duration::from_secs(wall));
        spending.is_within(window, wall)
    };
    assert!(within(60, 10_000) && within(60, 10_059) && within(60, 9_999));
    assert!(!within(60, 10_060) && !within(60, 3_000));
    assert!(!within(0, 10_000));
}

#[tokio::test]
async fn a_claim_that_is_dropped_is_given_to_the_next() {
    let path = Scratch::new();
    let (one, two) = (open(&path), open(&path));
    let (claim, _) = ours(&one, 1, 0).await;
    let other_slot = tokio::time::timeout(Duration::from_secs(5), ours(&two, 2, 0));
    assert!(other_slot.await.is_ok(), "another slot is free");
    let waiting = tokio::spawn(async move { ours(&two, 1, 0).await.1 });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    drop(claim);
    assert_eq!(waiting.await.unwrap(), None);
    let locks = fs::read_dir(&path).unwrap().map(Result::unwrap);
    let locks = locks.filter(|it| it.path().extension().is_some_and(|it| it == "lock"));
    assert_eq!(locks.count(), 0, "no lock file is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_hold_the_same_lock_however_often_its_file_comes_and_goes() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let path = Scratch::new();
    disk::make_folder(&path).unwrap();
    let (file, inside) = (path.join("x.lock"), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (file, inside) = (file.clone(), Arc::clone(&inside));
            tokio::task::spawn_blocking(move || {
                let mut held = 0;
                while held < 200 {
                    if let Some(lock) = disk::try_lock(&file).unwrap() {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                        held += 1;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Whoever takes the folder away and makes it anew takes lock files with it.
#[test]
fn who_lets_go_of_a_lock_whose_file_has_gone_takes_no_others_along() {
    let path = Scratch::new();
    disk::make_folder(&path).unwrap();
    let file = path.join("x.lock");
    let first = disk::try_lock(&file).unwrap().unwrap();
    fs::remove_file(&file).unwrap();
    let _second = disk::try_lock(&file).unwrap().unwrap();
    drop(first);
    let third = disk::try_lock(&file).unwrap();
    assert!(third.is_none(), "the second one is held still");
}

#[tokio::test]
async fn what_a_crash_left_behind_is_in_nobodys_way() {
    let path = Scratch::new();
    put(&open(&path), 1, &record(1, "first")).await;
    let [file] = &*sealed_files(&path) else {
        panic!("one file");
    };
    fs::write(file.with_extension("new"), "half of a rec").unwrap();
    fs::write(file.with_extension("lock"), "").unwrap();
    let store = open(&path);
    assert_eq!(theirs(&store, 1, 0).await, "first");
    put(&store, 1, &record(2, "second")).await;
    assert_eq!(theirs(&store, 1, 1).await, "second");
}

#[tokio::test]
async fn nothing_of_it_can_be_read_without_the_key() {
    let path = Scratch::new();
    put(&open(&path), 1, &renewable(1, "canary-token")).await;
    let bytes = everything(&path);
    for canary in ["canary", "token", "refresh"] {
        let found = bytes
            .windows(canary.len())
            .any(|it| it == canary.as_bytes());
        assert!(!found, "{canary}");
    }
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    for file in sealed_files(&path) {
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_damaged_record_is_set_aside_and_costs_its_own_slot_alone() {
    let path = Scratch::new();
    put(&open(&path), 1, &record(1, "first")).await;
    let [file] = &*sealed_files(&path) else {
        panic!("one file");
    };
    let whole = fs::read(file).unwrap();
    put(&open(&path), 2, &record(1, "other")).await;
    let mut flipped = whole.clone();
    flipped[40] ^= 1;
    for damaged in [
        &flipped[..],
        &whole[..30],
        b"",
        b"{\"token\":\"x\"}",
        &[0; 400_000],
    ] {
        fs::write(file, damaged).unwrap();
        let store = open(&path);
        assert_eq!(ours(&store, 1, 0).await.1, None);
        assert!(!file.exists(), "it is out of the way");
        let away = path.join("set-aside").join(file.file_stem().unwrap());
        assert!(fs::read(away).unwrap() == damaged, "nothing is lost");
        assert_eq!(theirs(&store, 2, 0).await, "other");
    }
}

#[tokio::test]
async fn what_is_set_aside_is_bounded() {
    let path = Scratch::new();
    let store = open(&path);
    put(&store, 1, &record(1, "first")).await;
    for n in 2..110 {
        fs::write(store_file(&path, n), "damaged").unwrap();
        assert_eq!(ours(&store, n, 0).await.1, None);
    }
    let away = fs::read_dir(path.join("set-aside")).unwrap().count();
    assert_eq!(away, 100);
}

/// Where the record of this slot stands.
fn store_file(path: &Path, n: u8) -> PathBuf {
    let place = keys(1, None).place(&id(n));
    path.join(place.hex()).with_extension("sealed")
}

#[test]
fn what_lives_for_a_moment_only_is_not_taken_over() {
    let wall = clock::unix_time();
    let ends_in = |seconds| Record {
        sent: wall - Duration::from_secs(600 - seconds),
        ends: Some(wall + Duration::from_secs(seconds)),
        ..record(1, "first")
    };
    assert!(ends_in(60).is_alive());
    assert!(!ends_in(20).is_alive(), "a twentieth of its life is left");
}

#[test]
fn what_is_known_of_a_spent_refresh_token_can_be_had_nowhere_else() {
    let known = Record {
        refresh: None,
        spending: Some(Spending { since: 0 }),
        ..record(1, "first")
    };
    assert!(known.is_irreplaceable());
    assert!(!record(1, "first").is_irreplaceable());
}

#[tokio::test]
async fn one_record_can_not_stand_in_the_place_of_another() {
    let path = Scratch::new();
    put(&open(&path), 1, &record(1, "first")).await;
    let [first] = &*sealed_files(&path) else {
        panic!("one file");
    };
    put(&open(&path), 2, &record(1, "second")).await;
    let files = sealed_files(&path);
    let second = files.iter().find(|file| *file != first).unwrap();
    fs::copy(first, second).unwrap();
    assert_eq!(ours(&open(&path), 2, 0).await.1, None);
}

#[tokio::test]
async fn a_store_of_another_key_is_set_aside_as_a_whole() {
    let path = Scratch::new();
    put(&open(&path), 1, &renewable(1, "first")).await;
    let names: Vec<_> = sealed_files(&path);
    let other = FileStore::new(path.to_path_buf(), keys(2, None), 100);
    assert_eq!(ours(&other, 1, 0).await.1, None);
    assert_eq!(sealed_files(&path), [] as [PathBuf; 0]);
    let entries = fs::read_dir(&path).unwrap().map(Result::unwrap);
    let away = entries
        .map(|it| it.path())
        .find(|it| it.to_string_lossy().contains("set-aside-"))
        .unwrap();
    assert!(
        away.join(names[0].file_name().unwrap()).exists(),
        "nothing is lost"
    );
}

#[tokio::test]
async fn the_key_before_still_reads_and_the_new_one_writes() {
    let path = Scratch::new();
    put(&open(&path), 1, &renewable(1, "first")).await;
    put(&open(&path), 2, &renewable(1, "other")).await;
    let both = FileStore::new(path.to_path_buf(), keys(2, Some(1)), 100);
    assert_eq!(theirs(&both, 1, 0).await, "first");
    put(&both, 1, &renewable(2, "second")).await;
    assert_eq!(sealed_files(&path).len(), 2, "the old file of it is gone");
    let new = FileStore::new(path.to_path_buf(), keys(2, None), 100);
    assert_eq!(theirs(&new, 1, 0).await, "second");
    assert_eq!(
        ours(&new, 2, 0).await.1,
        None,
        "that one was never written anew"
    );
}

#[tokio::test]
async fn what_is_not_ours_is_set_aside() {
    let path = Scratch::new();
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("letter.txt"), "dear").unwrap();
    put(&open(&path), 1, &record(1, "first")).await;
    assert!(!path.join("letter.txt").exists());
    assert!(
        everything(&path).windows(4).any(|it| it == b"dear"),
        "nothing is lost"
    );

    let path = Scratch::new();
    fs::write(&path, "a file").unwrap();
    put(&open(&path), 1, &record(1, "first")).await;
    assert!(path.is_dir());
}

#[tokio::test]
async fn a_store_that_can_not_be_made_is_an_error_that_names_it() {
    let path = Scratch::new();
    fs::write(&path, "a file").unwrap();
    let inside = open(&path.join("store"));
    let error = inside.claim(&id(1), 0).await.err().unwrap();
    assert!(error.to_string().contains("/place/store"), "{error}");
    // It heals by itself.
    fs::remove_file(&path).unwrap();
    put(&inside, 1, &record(1, "first")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_start_together_all_open_it() {
    let path = Scratch::new();
    let all: Vec<_> = (0..8)
        .map(|n| {
            let store = open(&path);
            tokio::spawn(async move { store.newest(&id(n)).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Ok(None));
    }
}

#[tokio::test]
async fn it_is_bounded_but_never_turns_a_refresh_token_away() {
    let path = Scratch::new();
    let store = FileStore::new(path.to_path_buf(), keys(1, None), 2);
    put(&store, 1, &record(1, "one")).await;
    put(&store, 2, &record(1, "two")).await;
    let (mut third, _) = ours(&store, 3, 0).await;
    let error = third.save(&record(1, "three")).await.unwrap_err();
    assert!(error.to_string().contains("holds 2 records"), "{error}");
    third.save(&renewable(1, "three")).await.unwrap();
    // One that is there already may be written anew.
    put(&store, 1, &record(2, "one again")).await;
    // What has ended makes room.
    for n in [1, 2] {
        let ended = Record {
            sent: Duration::from_secs(1000),
            ends: Some(Duration::from_secs(1001)),
            ..record(3, "ended")
        };
        put(&store, n, &ended).await;
    }
    put(&store, 4, &record(1, "four")).await;
    assert_eq!(sealed_files(&path).len(), 2, "three and four");
    assert_eq!(theirs(&store, 3, 0).await, "three");
}

#[test]
fn what_was_asked_for_earlier_is_the_older_one_whenever_it_came() {
    let asked = |ago: u64| {
        let sent = clock::now() - Duration::from_secs(ago);
        Credential::bearer(Secret::new("x"), Some(Duration::from_secs(600)), sent)
    };
    let newer = Record::after(&asked(5), 1);
    assert!(Record::after(&asked(20), 1).number < newer.number);
    assert!(newer.number > 1);
    assert_eq!(
        Record::after(&asked(20), newer.number).number,
        newer.number + 1
    );
}

#[test]
fn a_life_is_never_longer_than_it_was_issued_for() {
    let wall = clock::unix_time();
    let hour = Duration::from_secs(3600);
    let at = |sent: Duration| Record {
        sent,
        ends: Some(sent + hour),
        ..record(1, "x")
    };
    // As told by a clock that was set back by a day since.
    let ahead = at(wall + 24 * hour).credential();
    let left = ahead.life.unwrap() - ahead.sent.elapsed();
    assert!(left <= hour, "{left:?}");
    let half = at(wall - hour / 2);
    let credential = half.credential();
    let left = (credential.life.unwrap()).saturating_sub(credential.sent.elapsed());
    assert!(left <= hour / 2 && left > hour / 3, "{left:?}");
    assert!(half.is_alive());
    assert!(!at(wall - 2 * hour).is_alive());
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_swept_at_start() {
    let path = Scratch::new();
    put(&open(&path), 1, &record(1, "first")).await;
    let [sealed] = &*sealed_files(&path) else {
        panic!("one record");
    };
    let (left, busy) = (sealed.with_extension("new"), path.join("busy.new"));
    fs::write(&left, "half").unwrap();
    fs::write(&busy, "half").unwrap();
    let _writing = disk::try_lock(&path.join("busy.lock")).unwrap().unwrap();
    assert!(open(&path).newest(&id(1)).await.unwrap().is_some());
    assert!(!left.exists());
    assert!(busy.exists(), "another process writes it");
}

/// What it leads to may be somebody's own folder, whose content would be set aside as not ours.
#[tokio::test]
async fn a_link_in_the_folders_place_is_not_followed_also_where_it_comes_later() {
    let (path, elsewhere) = (Scratch::new(), Scratch::new());
    disk::make_folder(&elsewhere).unwrap();
    fs::write(elsewhere.join("own"), "theirs").unwrap();
    let is_refused = |store: FileStore| async move {
        let refused = store.newest(&id(1)).await.unwrap_err();
        refused.lasts && refused.to_string().contains("is a symbolic link")
    };
    let store = open(&path);
    put(&store, 1, &record(1, "first")).await;
    fs::rename(&*path, path.with_extension("before")).unwrap();
    std::os::unix::fs::symlink(&*elsewhere, &*path).unwrap();
    assert!(is_refused(store).await);
    assert!(is_refused(open(&path)).await);
    assert!(is_refused(open(&path.join(""))).await);
    assert_eq!(fs::read_dir(&*elsewhere).unwrap().count(), 1);
}

#[test]
fn a_folder_that_others_may_use_is_known() {
    let path = Scratch::new();
    assert_eq!(disk::exposure(&path), None);
    disk::make_folder(&path).unwrap();
    for (mode, what) in [
        (0o700, None),
        (0o755, Some("look into")),
        (0o770, Some("write to")),
        (0o703, Some("write to")),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(disk::exposure(&path), what, "{mode:o}");
    }
}
