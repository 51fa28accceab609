//! `portico account`, and a running server that takes the change at once.

use std::fs;

use crate::{
    Said, empty, portico, portico_with,
    support::{Dialogue, Family, Lab, Server},
};

fn logs_in(server: &Server, name: &str, password: &str) -> bool {
    let mut pop3 = Dialogue::with(server.at("pop3", Family::V4));
    pop3.hear("+OK");
    pop3.say(&format!("USER {name}")).hear("+OK");
    pop3.say(&format!("PASS {password}")).try_line().is_some_and(|line| line.starts_with("+OK"))
}

#[test]
fn an_account_lives_from_add_to_remove() {
    let lab = Lab::new();
    let server = lab.start(&["--only", "pop3"]);
    let data = lab.data();
    let account = |words: &[&str], input: &str| -> Said {
        portico_with(&lab.path(""), &[&["--data", data.to_str().unwrap(), "account"], words].concat(), input, &[])
    };
    assert!(!logs_in(&server, "carol", "sesame"));
    assert_eq!(account(&["add", "carol"], "sesame\n").fine(), "saved; the running server has taken it\n");
    assert!(logs_in(&server, "carol", "sesame"));
    assert!(account(&["list"], "").fine().contains("carol   hashed   /~carol"));
    account(&["add", "carol"], "again\n").failed(&["carol exists already"]);
    account(&["passwd", "carol"], "open\n").fine();
    assert!(logs_in(&server, "carol", "open") && !logs_in(&server, "carol", "sesame"));
    account(&["remove", "carol"], "").fine();
    assert!(!logs_in(&server, "carol", "open"));
    account(&["remove", "carol"], "").failed(&["no account carol"]);
    account(&["remove", "bob"], "").fine();
    assert!(!logs_in(&server, "bob", "hungry"), "a sample can be removed too");
}

/// With SCRAM keys for everybody, nobody need send a password; one Argon2 hash ends that.
#[test]
fn a_class_is_imported_with_keys_for_scram() {
    let lab = Lab::new();
    let server = lab.start(&["--only", "pop3", "--set", "sample-accounts=false"]);
    let class = lab.write("class.csv", "name,password,write\n# the first row\ncarol, sesame ,\ndave,\"with, comma\",/~dave/ /pictures/\n");
    let account = |words: &[&str], input: &str| -> Said {
        portico_with(&lab.path(""), &[&["--data", lab.data().to_str().unwrap(), "account"], words].concat(), input, &[])
    };
    let told = account(&["import", class.to_str().unwrap(), "--scram"], "").fine();
    assert_eq!(told, "2 accounts: saved; the running server has taken it\n");
    assert!(logs_in(&server, "carol", "sesame") && logs_in(&server, "dave", "with, comma"));
    let capabilities = || {
        let mut pop3 = Dialogue::with(server.at("pop3", Family::V4));
        pop3.hear("+OK");
        pop3.say("CAPA").hear("+OK");
        pop3.hear_until(".").join(" ")
    };
    assert!(capabilities().contains("SCRAM-SHA-256"));
    assert!(account(&["list"], "").fine().contains("dave    hashed   /~dave /pictures"));
    let again = account(&["import", class.to_str().unwrap()], "").fine();
    assert!(again.contains("carol exists already") && again.contains("no account is new"), "{again}");
    account(&["passwd", "carol"], "open\n").fine();
    assert!(logs_in(&server, "carol", "open") && !capabilities().contains("SCRAM-SHA-256"));
    for (text, why) in
        [("name,password\nx,\n", "line 2"), ("name,password\nx,y\nX,z\n", "line 3"), ("who,what\nx,y\n", "the first line names")]
    {
        let class = lab.write("wrong.csv", text);
        account(&["import", class.to_str().unwrap()], "").refused(&[why]);
    }
    server.stop();
}

#[test]
fn what_a_person_wrote_into_the_settings_stays() {
    let folder = empty();
    let file = folder.path().join("portico.toml");
    let text = "# our lab\nport-offset = 9000 # above everything\n\n[accounts.dave]\npassword = \"secret\" # for now\n";
    fs::write(&file, text).unwrap();
    portico_with(folder.path(), &["account", "add", "carol", "--write", "/~carol/,/pictures/"], "sesame\n", &[]).fine();
    let after = fs::read_to_string(&file).unwrap();
    assert!(after.starts_with(text), "{after}");
    assert!(after.contains("[accounts.carol]\nwrite = [\"/~carol/\", \"/pictures/\"]\npassword-hash = \"$argon2id$"), "{after}");
    portico(folder.path(), &["account", "remove", "carol"]).fine();
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_change_that_makes_no_sense_changes_nothing() {
    let folder = empty();
    portico_with(folder.path(), &["account", "add", "no/body"], "x\n", &[]).refused(&["no/body"]);
    portico_with(folder.path(), &["account", "add", "carol"], "\n", &[]).refused(&["empty"]);
    portico_with(folder.path(), &["account", "add", "carol", "--write", "pictures"], "x\n", &[]).refused(&["accounts.carol.write"]);
    assert!(!folder.path().join("portico.toml").exists());
}

#[test]
fn the_mailboxes_can_be_looked_into_with_and_without_a_server() {
    let lab = Lab::new();
    fs::remove_dir(lab.data().join("maildir")).unwrap();
    let data = lab.data();
    let mail = |words: &[&str]| portico(&lab.path(""), &[&["--data", data.to_str().unwrap(), "mail"], words].concat());
    let look = || {
        let listed = mail(&["list", "bob"]).fine();
        assert!(listed.contains("525") && listed.contains("alice@portico.test") && listed.contains("Do you like ketchup?"), "{listed}");
        assert!(mail(&["show", "bob", "1"]).fine().contains("\n.like this one\n"));
    };
    look();
    let server = lab.start(&[]);
    look();
    mail(&["show", "bob", "2"]).failed(&["bob has 1 messages"]);
    mail(&["list", "nobody"]).failed(&["nobody"]);
    server.stop();
}
