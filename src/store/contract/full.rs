//! A disk that is full. Needs a small file system: `mount -t tmpfs -o size=1m tmpfs DIR`, then
//! `PORTICO_SMALL_DISK=DIR cargo test --lib full_disk -- --ignored --test-threads 1`.

use std::{path::PathBuf, sync::Arc};

use crate::store::{
    Account, StoreError, VirtualPath,
    disk_mail::DiskMail,
    disk_tree::DiskTree,
    mail::{LocalDelivery, MailStore, Parcel},
    tree::{Author, Receive, Tree},
};

fn small_disk(name: &str) -> PathBuf {
    let folder = PathBuf::from(std::env::var_os("PORTICO_SMALL_DISK").expect("PORTICO_SMALL_DISK names a small file system")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
#[ignore = "needs a small file system"]
fn a_full_disk_refuses_uploads_and_keeps_the_old_content() {
    let folder = small_disk("www");
    let tree = DiskTree::open(&folder).unwrap();
    let path = VirtualPath::parse("/file").unwrap();
    let put = |octets: usize| -> Result<(), StoreError> {
        let mut upload = tree.receive(&path, Receive::Replace)?;
        for _ in 0..octets / 1024 {
            upload.write(&[b'x'; 1024])?;
        }
        upload.commit().map(drop)
    };
    put(300 << 10).unwrap();
    for _ in 0..3 {
        assert!(matches!(put(2 << 20), Err(StoreError::Full)));
        assert_eq!(tree.facts(&path).unwrap().octets, 300 << 10);
    }
    let content = tree.open(&path).unwrap().read().unwrap();
    assert!(content.iter().all(|octet| *octet == b'x'));
    put(200 << 10).expect("what was refused has left no trace");
    assert_eq!(tree.list(&VirtualPath::root()).unwrap().len(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What is added in place, and what is kept of a new name: a full disk takes back what it could not
/// take, and nothing more, and there is room again without a restart.
#[test]
#[ignore = "needs a small file system"]
fn a_full_disk_takes_back_additions_and_keeps_no_more_than_before() {
    let folder = small_disk("additions");
    let tree = DiskTree::open(&folder).unwrap();
    let account =
        Account { name: "bob".into(), home: VirtualPath::root(), write: vec![VirtualPath::root()], www_quota: None, adds_only: false };
    let bob = Author { account: Arc::new(account), resumes: true };
    let path = |text: &str| VirtualPath::parse(text).unwrap();
    let send = |at: &str, how: Receive, octets: usize| {
        let mut upload = tree.receive_for(&path(at), how, Some(&bob)).unwrap();
        let written = (0..octets / 1024).try_for_each(|_| upload.write(&[b'x'; 1024]));
        (upload, written)
    };
    let (upload, _) = send("/standing", Receive::Replace, 200 << 10);
    upload.commit().unwrap();
    let before = tree.facts(&path("/standing")).unwrap();
    for _ in 0..3 {
        let (upload, written) = send("/standing", Receive::Append, 2 << 20);
        assert!(matches!(written, Err(StoreError::Full)));
        assert_eq!(upload.break_off().unwrap(), 0);
        let after = tree.facts(&path("/standing")).unwrap();
        assert_eq!((after.octets, after.modified), (before.octets, before.modified));
        assert_eq!(std::fs::metadata(folder.join("standing")).unwrap().len(), 200 << 10);
    }
    let (upload, _) = send("/new", Receive::Replace, 100 << 10);
    assert_eq!(upload.break_off().unwrap(), 100 << 10);
    let (upload, written) = send("/new", Receive::Append, 2 << 20);
    assert!(matches!(written, Err(StoreError::Full)));
    assert_eq!(upload.break_off().unwrap(), 100 << 10, "as much as before");
    let (upload, written) = send("/new", Receive::ResumeAt(100 << 10), 100 << 10);
    written.expect("there is room again");
    upload.commit().unwrap();
    assert_eq!(tree.facts(&path("/new")).unwrap().octets, 200 << 10);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
#[ignore = "needs a small file system"]
fn a_full_disk_refuses_mail_and_recovers_without_a_restart() {
    let folder = small_disk("mail");
    let mail = Arc::new(DiskMail::open(&folder.join("maildir"), &folder.join("var")).unwrap());
    let accept = |octets: usize, accounts: &[&str]| -> Result<(), StoreError> {
        let mut message = mail.spool()?;
        for _ in 0..octets / 1024 {
            message.write(&[b'x'; 1024])?;
        }
        let local = accounts.iter().map(|&account| LocalDelivery { account: account.into(), prefix: Vec::new() }).collect();
        mail.accept(Parcel { message, local, relay: None, forwards: Vec::new() })
    };
    accept(100 << 10, &["bob"]).unwrap();
    assert!(matches!(accept(2 << 20, &["bob"]), Err(StoreError::Full)), "by the spool");
    assert!(matches!(accept(200 << 10, &["alice", "bob", "carol", "dora", "emil", "fred"]), Err(StoreError::Full)), "by the deliveries");
    assert_eq!(mail.open_maildrop("bob").unwrap().messages().len(), 1);
    assert!(mail.open_maildrop("alice").unwrap().messages().is_empty(), "nothing of a refused parcel");
    accept(200 << 10, &["alice", "bob"]).expect("there is room again");
    std::fs::remove_dir_all(&folder).unwrap();
}
