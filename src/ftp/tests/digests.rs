//! HASH and its kin take a while for a large file: the control connection is heard meanwhile.

use super::*;
use crate::ftp::digest::all_turns;

#[tokio::test(start_paused = true)]
async fn a_digest_can_be_asked_about_and_aborted() {
    let mut lab = Lab::open().await;
    for command in ["HASH", "XCRC", "XMD5", "XSHA", "XSHA1", "XSHA256", "XSHA512"] {
        // Nobody's turn comes before we say so.
        let turns = all_turns().await;
        let control = lab.control.as_mut().unwrap();
        control.write_all(format!("{command} a.txt\r\nSTAT\r\nNOOP\r\n").as_bytes()).await.unwrap();
        let mut status = lab.expect(211).await;
        while !status.starts_with("211 ") {
            status = lab.expect_line().await;
            if status.contains("under way") {
                assert!(status.contains("digesting /a.txt"), "{status}");
            }
        }
        lab.say("ABOR", 451).await;
        lab.expect(226).await;
        lab.expect(200).await;
        drop(turns);
        lab.say("NOOP", 200).await;
    }
    assert!(lab.say("HASH a.txt", 213).await.contains("SHA-256 0-3 "), "the turns were given back");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_leaves_no_digest_behind() {
    let mut lab = Lab::open().await;
    let turns = all_turns().await;
    lab.control.as_mut().unwrap().write_all(b"HASH a.txt\r\nSTAT\r\n").await.unwrap();
    lab.expect(211).await;
    lab.control = None;
    // Whoever comes next would wait behind it.
    lab.log_in().await;
    drop(turns);
    lab.say("XMD5 a.txt", 250).await;
    drop(all_turns().await);
}
