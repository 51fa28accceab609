//! What a commit promises, with the power cut at every step and every sync failing in turn.

use std::{io::Write, sync::Arc, thread};

use super::{Change, Committer, Disk, PowerCutDisk, RealDisk, RealFolder, Spot, Taken, Temporary};

/// The folders of the double.
const TMP: u64 = 1;
const NEW: u64 = 2;
const TREE: u64 = 3;

const OLD: &[u8] = b"the old content, which is longer than the new one";
const FRESH: &[u8] = b"a whole new content";

fn place(disk: &PowerCutDisk, name: &str, content: &[u8], taken: Taken) -> std::io::Result<Change<PowerCutDisk>> {
    let folder = if taken == Taken::Refuse { NEW } else { TREE };
    let mut temporary = Temporary::beside(disk, &if taken == Taken::Refuse { TMP } else { TREE }, 0o600)?;
    for piece in content.chunks(7) {
        temporary.write_all(piece)?;
    }
    Ok(Change::Place { temporary, to: Spot::new(&folder, name), taken })
}

/// Deliveries, one alone and one to three mailboxes at once, an upload over an old file, a removal
/// and a move. Notes what was acknowledged.
fn story(disk: &PowerCutDisk, done: &mut Vec<&'static str>) -> std::io::Result<()> {
    let commits = Committer::new(disk.clone(), TMP);
    commits.commit(vec![place(disk, "file", OLD, Taken::Replace)?, place(disk, "doomed", OLD, Taken::Replace)?])?;
    done.push("prepared");
    commits.commit(vec![place(disk, "one", FRESH, Taken::Refuse)?])?;
    done.push("one");
    commits.commit((2..5).map(|n| place(disk, &format!("copy{n}"), FRESH, Taken::Refuse)).collect::<Result<_, _>>()?)?;
    done.push("copies");
    done.push("replacing");
    commits.commit(vec![place(disk, "file", FRESH, Taken::Replace)?])?;
    done.push("replaced");
    done.push("removing");
    commits.commit(vec![Change::Remove(Spot::new(&TREE, "doomed"))])?;
    done.push("removed");
    done.push("moving");
    commits.commit(vec![Change::Move { from: Spot::new(&NEW, "one"), to: Spot::new(&TREE, "moved") }])?;
    done.push("moved");
    Ok(())
}

fn check(found: &std::collections::BTreeMap<(u64, String), Vec<u8>>, done: &[&str], at: &str) {
    let content = |folder: u64, name: &str| found.get(&(folder, name.to_owned())).map(Vec::as_slice);
    for ((folder, name), content) in found {
        assert!(name.starts_with(".portico-") || content == OLD || content == FRESH, "{at}: {folder}/{name} is torn: {content:?}");
    }
    if !done.contains(&"prepared") {
        return;
    }
    if done.contains(&"one") && !done.contains(&"moving") {
        assert_eq!(content(NEW, "one"), Some(FRESH), "{at}");
    }
    if done.contains(&"copies") {
        assert!((2..5).all(|n| content(NEW, &format!("copy{n}")) == Some(FRESH)), "{at}");
    }
    match (done.contains(&"replacing"), done.contains(&"replaced")) {
        (false, _) => assert_eq!(content(TREE, "file"), Some(OLD), "{at}"),
        (true, true) => assert_eq!(content(TREE, "file"), Some(FRESH), "{at}"),
        _ => assert!(content(TREE, "file").is_some(), "{at}"),
    }
    if !done.contains(&"removing") {
        assert_eq!(content(TREE, "doomed"), Some(OLD), "{at}");
    }
    if done.contains(&"removed") {
        assert_eq!(content(TREE, "doomed"), None, "{at}: revived");
    }
    if done.contains(&"moved") {
        assert_eq!((content(NEW, "one"), content(TREE, "moved")), (None, Some(FRESH)), "{at}");
    }
}

fn steps_of_the_story() -> usize {
    let disk = PowerCutDisk::default();
    let mut done = Vec::new();
    story(&disk, &mut done).unwrap();
    check(&disk.files(), &done, "to the end");
    assert!(disk.files().keys().all(|(_, name)| !name.starts_with(".portico-")), "no temporary is left");
    disk.steps()
}

#[test]
fn a_power_cut_at_any_step_loses_nothing_acknowledged_and_tears_nothing() {
    for cut in 0..=steps_of_the_story() {
        let disk = PowerCutDisk::default();
        disk.cut_before(cut);
        let mut done = Vec::new();
        let _ = story(&disk, &mut done);
        for luck in 0..60 {
            check(&disk.survivors(luck), &done, &format!("cut before step {cut}, luck {luck}, after {done:?}"));
        }
    }
}

#[test]
fn a_failed_sync_is_told_and_leaves_nothing_new() {
    let mut failures = 0;
    for step in 0..steps_of_the_story() {
        let disk = PowerCutDisk::default();
        disk.break_sync(step);
        let mut done = Vec::new();
        if story(&disk, &mut done).is_ok() {
            continue;
        }
        failures += 1;
        check(&disk.files(), &done, &format!("sync at step {step} failed after {done:?}"));
        let files = disk.files();
        let has = |name: &str| files.contains_key(&(NEW, name.to_owned()));
        assert!(done.contains(&"one") || !has("one"), "step {step}");
        assert!(done.contains(&"copies") || !(2..5).any(|n| has(&format!("copy{n}"))), "step {step}");
    }
    assert!(failures >= 10, "every commit syncs file and folder");
}

#[test]
fn the_steps_of_a_commit_come_in_the_right_order() {
    let disk = PowerCutDisk::default();
    let commits = Committer::new(disk.clone(), TMP);
    let change = place(&disk, "one", b"content", Taken::Refuse).unwrap();
    assert_eq!(disk.steps_after(0), ["create", "write"]);
    commits.commit(vec![change]).unwrap();
    assert_eq!(disk.steps_after(2), ["sync file", "rename", "sync folder"]);

    let three: Vec<_> = ["a", "b", "c"].map(|name| place(&disk, name, b"x", Taken::Refuse).unwrap()).into();
    let before = disk.steps();
    commits.commit(three).unwrap();
    assert_eq!(disk.steps_after(before), ["sync file system", "rename", "rename", "rename", "sync folder"]);

    let before = disk.steps();
    commits.commit(vec![Change::Move { from: Spot::new(&NEW, "a"), to: Spot::new(&TREE, "a") }]).unwrap();
    assert_eq!(disk.steps_after(before), ["rename", "sync folder", "sync folder"]);
}

#[test]
fn a_large_file_is_synced_before_it_joins_a_batch() {
    let disk = PowerCutDisk::default();
    let commits = Committer::new(disk.clone(), TMP);
    let mut temporary = Temporary::beside(&disk, &TREE, 0o600).unwrap();
    temporary.write_all(&vec![0; 2 << 20]).unwrap();
    let mut changes = vec![Change::Place { temporary, to: Spot::new(&TREE, "large"), taken: Taken::Replace }];
    changes.extend(["a", "b"].map(|name| place(&disk, name, b"x", Taken::Replace).unwrap()));
    let before = disk.steps();
    commits.commit(changes).unwrap();
    assert_eq!(disk.steps_after(before), ["sync file", "sync file", "sync file", "rename", "rename", "rename", "sync folder"]);
}

#[test]
fn a_name_that_is_taken_refuses_all_of_the_job() {
    let disk = PowerCutDisk::default();
    let commits = Committer::new(disk.clone(), TMP);
    commits.commit(vec![place(&disk, "taken", OLD, Taken::Refuse).unwrap()]).unwrap();
    let job = vec![place(&disk, "free", FRESH, Taken::Refuse).unwrap(), place(&disk, "taken", FRESH, Taken::Refuse).unwrap()];
    assert_eq!(commits.commit(job).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    let files = disk.files();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[&(NEW, "taken".to_owned())], OLD);
}

#[test]
fn removals_tell_what_was_gone_already() {
    let disk = PowerCutDisk::default();
    let commits = Committer::new(disk.clone(), TMP);
    commits.commit(vec![place(&disk, "there", OLD, Taken::Refuse).unwrap()]).unwrap();
    let spots = ["gone", "there", "gone too"].map(|name| Change::Remove(Spot::new(&NEW, name)));
    assert_eq!(commits.commit(spots.into()).unwrap(), [0, 2]);
    assert!(disk.files().is_empty());
    assert!(commits.commit(Vec::new()).unwrap().is_empty());
}

#[test]
fn many_callers_share_batches_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let open = RealFolder::open(folder.path()).unwrap();
    let commits = Arc::new(Committer::new(RealDisk, open.clone()));
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let (commits, open) = (commits.clone(), open.clone());
            thread::spawn(move || {
                for round in 0..20 {
                    let mut temporary = Temporary::beside(&RealDisk, &open, 0o600).unwrap();
                    write!(temporary, "{caller}-{round}").unwrap();
                    let to = Spot::new(&open, format!("{caller}-{round}"));
                    commits.commit(vec![Change::Place { temporary, to, taken: Taken::Refuse }]).unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    let names = open.names().unwrap();
    assert_eq!(names.len(), 320);
    for name in names {
        assert_eq!(std::fs::read_to_string(folder.path().join(&name)).unwrap(), name.to_string_lossy());
    }
}

#[test]
fn a_real_disk_refuses_names_that_are_taken_and_removes_what_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let open = RealFolder::open(folder.path()).unwrap();
    let commits = Committer::new(RealDisk, open.clone());
    let fresh = |text: &str| {
        let mut temporary = Temporary::beside(&RealDisk, &open, 0o600).unwrap();
        temporary.write_all(text.as_bytes()).unwrap();
        temporary
    };
    let to = |taken| (Spot::new(&open, "name"), taken);
    for (text, (to, taken), fine) in [("a", to(Taken::Refuse), true), ("b", to(Taken::Refuse), false), ("c", to(Taken::Replace), true)] {
        assert_eq!(commits.commit(vec![Change::Place { temporary: fresh(text), to, taken }]).is_ok(), fine);
    }
    drop(fresh("never placed"));
    assert_eq!(open.names().unwrap(), ["name"]);
    assert_eq!(std::fs::read(folder.path().join("name")).unwrap(), b"c");
    commits.commit(vec![Change::MakeFolder(Spot::new(&open, "sub"), 0o700), Change::Remove(Spot::new(&open, "name"))]).unwrap();
    commits.commit(vec![Change::RemoveFolder(Spot::new(&open, "sub"))]).unwrap();
    assert!(open.names().unwrap().is_empty());
    assert_eq!(RealDisk.identity(&open), RealDisk.identity(&RealFolder::open(folder.path()).unwrap()));
}
