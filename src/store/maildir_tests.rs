//! A Maildir that other programs use at the same time, the queue after a crash, and the power cut
//! at every step of a delivery.

use std::{
    fs,
    io::Read,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    StoreError,
    commit::{Change, Committer, PowerCutDisk, RealDisk, RealFolder, Spot, Taken},
    disk_mail::DiskMail,
    mail::{Envelope, LocalDelivery, MailStore, Maildrop, Parcel, Queue},
    maildir::{Entrance, Folders, deliver},
    maildir_listing::Listings,
    queue::{enter, envelope_name, write_envelope},
};

struct Fixture {
    folder: tempfile::TempDir,
    mail: DiskMail,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let mail = open(folder.path());
        Fixture { folder, mail }
    }

    fn bob(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("maildir/bob").join(name)
    }

    fn deliver(&self, text: &str) {
        self.parcel(text, &["bob"], None).unwrap();
    }

    fn parcel(&self, text: &str, accounts: &[&str], relay: Option<Envelope>) -> Result<(), StoreError> {
        let mut message = self.mail.spool()?;
        message.write(text.as_bytes())?;
        let local = accounts.iter().map(|&account| LocalDelivery { account: account.into(), prefix: Vec::new() }).collect();
        self.mail.accept(Parcel { message, local, relay, forwards: Vec::new() })
    }

    fn only_file(&self, folder: &str) -> String {
        let names: Vec<_> = fs::read_dir(self.bob(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].to_str().unwrap().to_owned()
    }
}

fn open(folder: &Path) -> DiskMail {
    DiskMail::open(&folder.join("maildir"), &folder.join("var")).unwrap()
}

fn envelope(id: &str) -> Envelope {
    Envelope {
        id: id.into(),
        sender: String::new(),
        recipients: Vec::new(),
        eight_bit: false,
        arrived: UNIX_EPOCH,
        attempts: 0,
        next_attempt: UNIX_EPOCH,
        held: false,
        parameters: Default::default(),
    }
}

fn text(maildrop: &dyn Maildrop, index: usize) -> Result<String, StoreError> {
    let mut text = String::new();
    maildrop.read(index)?.read_to_string(&mut text)?;
    assert_eq!(text.len() as u64, maildrop.messages()[index].octets);
    Ok(text)
}

#[test]
fn a_listing_holds_while_the_folders_stay_as_they_are() {
    let it = Fixture::new();
    it.deliver("one\r\n");
    let disk = RealFolder::open(&it.bob("")).unwrap();
    let folder = |name: &str| disk.folder(name).unwrap();
    let folders = Folders { tmp: folder("tmp"), new: folder("new"), cur: folder("cur") };
    let listings = Listings::new();
    let (now, later) = (SystemTime::now(), SystemTime::now() + Duration::from_secs(1));
    let commits = Committer::new(RealDisk, disk.clone());
    let of = |account: &str, now| listings.of((account, &disk), &folders, &commits, now).unwrap();
    let (just_changed, settled) = (of("bob", now), of("bob", later));
    assert!(!Arc::ptr_eq(&just_changed, &settled), "another change in the same tick would not show");
    assert!(Arc::ptr_eq(&settled, &of("bob", later)));
    assert!(!Arc::ptr_eq(&settled, &of("alice", later)));
}

#[test]
fn sizes_that_no_name_tells_are_measured_once_and_kept() {
    let it = Fixture::new();
    it.deliver("ours\r\n");
    fs::write(it.bob("new/1.other"), "a\nb").unwrap();
    fs::write(it.bob("new/2.other"), "").unwrap();
    let sizes = || open(it.folder.path()).open_maildrop("bob").unwrap().messages().iter().map(|it| it.octets).collect::<Vec<_>>();
    assert_eq!(sizes(), [6, 0, 6]);
    assert_eq!(fs::read_to_string(it.bob("portico.sizes")).unwrap(), "6 1.other\n0 2.other\n");
    // What the index says is believed, by a server started anew as well.
    fs::write(it.bob("portico.sizes"), "7 1.other\nnonsense\n").unwrap();
    assert_eq!(sizes(), [7, 0, 6]);
    fs::remove_file(it.bob("portico.sizes")).unwrap();
    assert_eq!(sizes(), [6, 0, 6], "made again");
}

#[test]
fn what_other_programs_do_shows_at_the_next_opening() {
    let it = Fixture::new();
    let count = || it.mail.open_maildrop("bob").unwrap().messages().len();
    for left in 1..20 {
        it.deliver("one\r\n");
        it.deliver("two\r\n");
        assert_eq!(count(), left + 1);
        let name = fs::read_dir(it.bob("new")).unwrap().next().unwrap().unwrap().file_name();
        fs::remove_file(it.bob("new").join(name)).unwrap();
        assert_eq!(count(), left);
    }
}

/// What lies below the account's folder, but for its messages.
fn half_written(it: &Fixture) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![it.bob("tmp"), it.bob("portico.tmp")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn a_large_message_for_one_mailbox_is_written_there_while_it_comes() {
    let it = Fixture::new();
    it.deliver("the folders are there now\r\n");
    let delivery = || LocalDelivery { account: "bob".into(), prefix: b"Return-Path: <>\r\n".to_vec() };
    let spooled = || {
        let mut message = it.mail.spool_for(delivery()).unwrap();
        (0..40).for_each(|_| message.write(&b"line\r\n".repeat(3000)).unwrap());
        message
    };
    let message = spooled();
    assert_eq!(half_written(&it).len(), 1);
    drop(message);
    assert!(half_written(&it).is_empty(), "not accepted, not there");
    let parcel = Parcel { message: spooled(), local: vec![delivery()], relay: None, forwards: Vec::new() };
    it.mail.accept(parcel).unwrap();
    assert!(half_written(&it).is_empty());
    let wire = format!("Return-Path: <>\r\n{}", "line\r\n".repeat(120_000));
    assert_eq!(text(&*it.mail.open_maildrop("bob").unwrap(), 1).unwrap(), wire);
}

#[test]
fn a_busy_mailbox_gets_its_mail_and_nothing_is_left_behind() {
    let it = Fixture::new();
    (0..20).for_each(|_| it.deliver("one\r\n"));
    assert_eq!(fs::read_dir(it.bob("portico.tmp")).unwrap().count(), 1);
    assert!(half_written(&it).is_empty());
    assert_eq!(it.mail.open_maildrop("bob").unwrap().messages().len(), 20);
    drop(open(it.folder.path()));
    assert_eq!(fs::read_dir(it.bob("portico.tmp")).unwrap().count(), 0);
    it.deliver("one\r\n");
    assert_eq!(it.mail.open_maildrop("bob").unwrap().messages().len(), 21);
}

#[test]
fn a_file_has_lf_line_ends_and_both_sizes_in_its_name() {
    let it = Fixture::new();
    it.deliver("a\r\nbc\r\n");
    let name = it.only_file("new");
    assert!(name.ends_with(",S=5,W=7"), "{name}");
    assert_eq!(fs::read(it.bob("new").join(&name)).unwrap(), b"a\nbc\n");
    assert!(fs::read_dir(it.bob("tmp")).unwrap().next().is_none());
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(it.bob("new").join(&name)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(it.bob("new")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn files_of_other_programs_are_taken_as_they_are() {
    let it = Fixture::new();
    drop(it.mail.open_maildrop("bob").unwrap());
    for (name, content) in [
        ("cur/3.dovecot,S=4,W=6:2,S", "a\nb\n"),
        ("new/1.crlf", "a\r\nb\r\n"),
        ("cur/2.noend:2,", "x"),
        ("cur/4.caf\u{e9}", ""),
        ("cur/.hidden", "no"),
        ("new/unnumbered", "last\n"),
    ] {
        fs::write(it.bob(name), content).unwrap();
    }
    fs::create_dir(it.bob("cur/5.folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", it.bob("cur/6.link")).unwrap();
    for _ in 0..2 {
        let bob = it.mail.open_maildrop("bob").unwrap();
        let texts: Vec<String> = (0..bob.messages().len()).map(|index| text(&*bob, index).unwrap()).collect();
        assert_eq!(texts, ["a\r\nb\r\n", "x\r\n", "a\r\nb\r\n", "", "last\r\n"]);
        assert!(bob.messages().iter().all(|facts| facts.uid.bytes().all(|octet| octet.is_ascii_graphic())));
        assert_eq!(bob.messages()[2].uid, "3.dovecot");
    }
}

#[test]
fn uids_do_not_depend_on_folder_and_flags() {
    let it = Fixture::new();
    it.deliver("one\r\n");
    let uid = it.mail.open_maildrop("bob").unwrap().messages()[0].uid.clone();
    let name = it.only_file("new");
    fs::rename(it.bob("new").join(&name), it.bob("cur").join(format!("{name}:2,RS"))).unwrap();
    assert_eq!(it.mail.open_maildrop("bob").unwrap().messages()[0].uid, uid);
    assert_eq!(open(it.folder.path()).open_maildrop("bob").unwrap().messages()[0].uid, uid);
}

#[test]
fn a_message_moved_during_a_session_is_found_again() {
    let it = Fixture::new();
    it.deliver("one\r\n");
    let mut bob = it.mail.open_maildrop("bob").unwrap();
    let name = it.only_file("new");
    fs::rename(it.bob("new").join(&name), it.bob("cur").join(format!("{name}:2,"))).unwrap();
    assert_eq!(text(&*bob, 0).unwrap(), "one\r\n");
    fs::rename(it.bob("cur").join(format!("{name}:2,")), it.bob("cur").join(format!("{name}:2,S"))).unwrap();
    bob.remove(&[0]).unwrap();
    assert!(fs::read_dir(it.bob("cur")).unwrap().next().is_none());
}

#[test]
fn a_message_removed_from_outside_is_missing_alone() {
    let it = Fixture::new();
    it.deliver("one\r\n");
    let name = it.only_file("new");
    it.deliver("two\r\n");
    let mut bob = it.mail.open_maildrop("bob").unwrap();
    fs::remove_file(it.bob("new").join(&name)).unwrap();
    assert!(matches!(bob.read(0), Err(StoreError::NotFound)));
    assert_eq!(text(&*bob, 1).unwrap(), "two\r\n");
    bob.remove(&[0, 1]).unwrap();
    assert!(fs::read_dir(it.bob("new")).unwrap().next().is_none());
}

#[test]
fn two_files_of_one_base_name_have_two_uids() {
    let it = Fixture::new();
    drop(it.mail.open_maildrop("bob").unwrap());
    for name in ["1.x,S=2", "1.x", "1.x,S=2,W=3:2,S"] {
        fs::write(it.bob("cur").join(name), "a\n").unwrap();
    }
    // In the middle of a move by link and unlink: the same message.
    fs::write(it.bob("new/1.x,S=2"), "a\n").unwrap();
    let uids = |mail: &DiskMail| mail.open_maildrop("bob").unwrap().messages().iter().map(|facts| facts.uid.clone()).collect::<Vec<_>>();
    let first = uids(&it.mail);
    assert_eq!(first.len(), 3);
    assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
    assert_eq!(uids(&it.mail), first);
}

#[test]
fn names_that_lead_elsewhere_are_no_accounts() {
    let it = Fixture::new();
    for account in ["", ".", "..", "../bob", "a/b", ".ssh", "a\0b", "bob\n"] {
        assert!(matches!(it.mail.open_maildrop(account), Err(StoreError::NotFound)), "{account:?}");
        assert!(it.parcel("x", &[account], None).is_err());
    }
    for id in ["", "..", "../x", "a/b", "a.json", &"x".repeat(65)] {
        assert!(matches!(it.parcel("x", &["bob"], Some(envelope(id))), Err(StoreError::NotFound)), "{id:?}");
        assert!(it.mail.envelope(id).is_err());
    }
    assert!(it.mail.open_maildrop("bob").unwrap().messages().is_empty(), "nothing is left of a refused parcel");
}

#[test]
fn what_a_crash_left_half_done_is_cleared_away_at_the_next_start() {
    let it = Fixture::new();
    it.parcel("whole\r\n", &["bob"], Some(envelope("Q1"))).unwrap();
    let queue = it.folder.path().join("var/queue");
    for orphan in ["Q2.eml", "Q3.json", ".portico-0-dead"] {
        fs::write(queue.join(orphan), "{}").unwrap();
    }
    fs::write(queue.join("Q4.eml"), "x").unwrap();
    fs::write(queue.join("Q4.json"), "damaged").unwrap();
    fs::write(it.bob("tmp/.portico-0-dead"), "half").unwrap();
    fs::write(it.bob("tmp/1.another-program"), "x").unwrap();
    let again = open(it.folder.path());
    let mut names: Vec<_> = fs::read_dir(&queue).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["Q1.eml", "Q1.json", "damaged"], "what can't be read is set aside for a person");
    let mut damaged: Vec<_> = fs::read_dir(queue.join("damaged")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    damaged.sort();
    assert_eq!(damaged, ["Q3.json", "Q4.eml", "Q4.json"]);
    assert_eq!(again.list().unwrap(), [envelope("Q1")]);
    assert_eq!(fs::read_dir(it.bob("tmp")).unwrap().count(), 1);
}

const MESSAGE: &[u8] = b"Subject: one\r\n\r\nof some length\r\n";
const ON_DISK: &[u8] = b"Subject: one\n\nof some length\n";
const QUEUE: u64 = 9;
/// Where files of the queue are written.
const STAGING: u64 = 10;

/// Two mailboxes and the queue in one commit, then an update and the removal of the entry, and of
/// one message.
fn story(disk: &PowerCutDisk, done: &mut Vec<&'static str>) -> std::io::Result<()> {
    let commits = Committer::new(disk.clone(), QUEUE);
    let now = UNIX_EPOCH;
    let alice = Entrance::<PowerCutDisk> { tmp: 1, new: 2 };
    let bob = Entrance::<PowerCutDisk> { tmp: 4, new: 5 };
    let mut changes = vec![deliver(disk, &alice, b"", &mut &*MESSAGE, now)?, deliver(disk, &bob, b"", &mut &*MESSAGE, now)?];
    changes.extend(enter(disk, (&STAGING, &QUEUE), &envelope("Q1"), &mut &*MESSAGE)?);
    commits.commit(changes)?;
    done.push("accepted");
    let mut changed = envelope("Q1");
    changed.attempts = 1;
    commits.commit(vec![write_envelope(disk, (&STAGING, &QUEUE), &changed, Taken::Replace)?])?;
    done.push("updated");
    done.push("removing");
    commits.commit(vec![Change::Remove(Spot::new(&QUEUE, envelope_name("Q1")))])?;
    let name = disk.files().keys().find(|(folder, _)| *folder == bob.new).map(|(_, name)| name.clone()).unwrap_or_default();
    commits.commit(vec![Change::Remove(Spot::new(&bob.new, name))])?;
    done.push("removed");
    Ok(())
}

#[test]
fn a_power_cut_loses_no_accepted_mail_and_revives_none() {
    let whole = PowerCutDisk::default();
    story(&whole, &mut Vec::new()).unwrap();
    for cut in 0..=whole.steps() {
        let disk = PowerCutDisk::default();
        disk.cut_before(cut);
        let mut done = Vec::new();
        let _ = story(&disk, &mut done);
        for luck in 0..40 {
            let found = disk.survivors(luck);
            let at = format!("cut before step {cut}, luck {luck}, after {done:?}");
            let inside = |folder: u64| found.iter().filter(move |((at, _), _)| *at == folder).map(|(_, content)| content.as_slice());
            assert!(inside(2).chain(inside(5)).all(|content| content == ON_DISK), "{at}: torn mail");
            let entry: Option<Envelope> =
                found.get(&(QUEUE, "Q1.json".into())).map(|json| serde_json::from_slice(json).unwrap_or_else(|_| panic!("{at}: torn")));
            if done.contains(&"accepted") {
                assert_eq!(inside(2).count(), 1, "{at}");
                assert_eq!(found[&(QUEUE, "Q1.eml".into())], MESSAGE, "{at}");
                assert!(entry.is_some() || done.contains(&"removing"), "{at}");
            }
            if done.contains(&"updated") && !done.contains(&"removing") {
                assert_eq!(entry.as_ref().map(|entry| entry.attempts), Some(1), "{at}");
            }
            if done.contains(&"removed") {
                assert!(entry.is_none() && inside(5).count() == 0, "{at}: revived");
            }
        }
    }
}

/// Six parcels in one batch: alice's, bob's, the queue's, and one whose name in the queue is taken.
/// Answers for each whether it was acknowledged.
fn batch(disk: &PowerCutDisk) -> std::io::Result<Vec<bool>> {
    let commits = Committer::new(disk.clone(), QUEUE);
    let (alice, bob) = (Entrance::<PowerCutDisk> { tmp: 1, new: 2 }, Entrance { tmp: 4, new: 5 });
    let mut jobs = Vec::new();
    for (number, id) in ["Q0", "Q1", "Q2", "Q1", "", ""].into_iter().enumerate() {
        let message = format!("Subject: {number}\r\n\r\nof some length\r\n");
        let mut job = vec![deliver(disk, if number < 3 { &alice } else { &bob }, b"", &mut message.as_bytes(), UNIX_EPOCH)?];
        if !id.is_empty() {
            job.extend(enter(disk, (&STAGING, &QUEUE), &envelope(id), &mut message.as_bytes())?);
        }
        jobs.push(job);
    }
    Ok(commits.commit_all(jobs).iter().map(Result::is_ok).collect())
}

/// Each parcel that was acknowledged is in all its places; answers whether any other is anywhere.
fn check_batch(found: &std::collections::BTreeMap<(u64, String), Vec<u8>>, acknowledged: &[bool], at: &str) -> bool {
    let holds = |folder: u64, text: &str| found.iter().any(|((at, _), content)| *at == folder && content == text.as_bytes());
    let mut others = false;
    for (number, is_safe) in acknowledged.iter().enumerate() {
        let disk_form = format!("Subject: {number}\n\nof some length\n");
        let wire_form = disk_form.replace('\n', "\r\n");
        let is_there = holds(if number < 3 { 2 } else { 5 }, &disk_form);
        assert!(!is_safe || is_there, "{at}: parcel {number} is lost");
        assert!(!is_safe || number > 2 || holds(QUEUE, &wire_form), "{at}: parcel {number} is lost from the queue");
        others |= !is_safe && (is_there || holds(QUEUE, &wire_form));
    }
    let torn = found.iter().find(|((folder, _), content)| [2, 5].contains(folder) && !content.ends_with(b"of some length\n"));
    assert!(torn.is_none(), "{at}: torn: {torn:?}");
    others
}

#[test]
fn parcels_of_one_batch_are_safe_or_refused_each_by_itself() {
    let whole = PowerCutDisk::default();
    assert_eq!(batch(&whole).unwrap(), [true, true, true, false, true, true]);
    assert!(!check_batch(&whole.files(), &[true, true, true, false, true, true], "to the end"), "a refused parcel has left something");
    for step in 0..=whole.steps() {
        let cut = PowerCutDisk::default();
        cut.cut_before(step);
        let acknowledged = batch(&cut).unwrap_or_else(|_| vec![false; 6]);
        for luck in 0..40 {
            check_batch(&cut.survivors(luck), &acknowledged, &format!("cut before step {step}, luck {luck}"));
        }
        let failing = PowerCutDisk::default();
        failing.break_sync(step);
        let acknowledged = batch(&failing).unwrap();
        assert!(!check_batch(&failing.files(), &acknowledged, &format!("failed at step {step}")), "step {step}: a refused parcel is there");
    }
}
