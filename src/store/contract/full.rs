//! A disk that is full. Needs a small file system: `mount -t tmpfs -o size=1m tmpfs DIR`, then
//! `PORTICO_SMALL_DISK=DIR cargo test --lib full_disk -- --ignored --test-threads 1`.

use std::{path::PathBuf, sync::Arc};

use crate::store::{
    StoreError, VirtualPath,
    disk_mail::DiskMail,
    disk_tree::DiskTree,
    mail::{LocalDelivery, MailStore, Parcel},
    tree::{Receive, Tree},
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
