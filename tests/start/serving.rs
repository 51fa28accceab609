//! What is served where, and how it ends.

use std::{fs, io::Read, net::TcpStream, path::Path};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    empty, portico,
    support::{Dialogue, Family, Lab, Server, until},
};

/// The lines of a lab's ready file.
fn ready(lab: &Lab) -> Vec<String> {
    fs::read_to_string(lab.path("ready")).unwrap().lines().map(str::to_owned).collect()
}

fn signal(server: &Server, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

#[test]
fn services_can_be_chosen_left_out_and_moved() {
    let lab = Lab::new();
    let server = lab.start(&["--only", "http,capital-tcp,pop3", "--without", "pop3", "--listen", "http=127.0.0.2:0"]);
    let lines = ready(&lab);
    assert_eq!(lines.iter().filter(|line| line.starts_with("http 127.0.0.2:")).count(), 1, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("http ") || line.starts_with("capital-tcp ")), "{lines:?}");
    let mut capital = Dialogue::with(server.at("capital-tcp", Family::V4));
    capital.say("hello").hear("HELLO");
}

#[test]
fn both_families_of_a_service_have_the_same_port_where_the_system_chooses() {
    let lab = Lab::new();
    let server = lab.start(&["--only", "capital-tcp"]);
    if ready(&lab).len() == 2 {
        assert_eq!(server.at("capital-tcp", Family::V4).port(), server.at("capital-tcp", Family::V6).port());
    }
}

#[test]
fn an_empty_folder_becomes_a_data_folder_and_stays_one() {
    let folder = empty();
    // The address is one that no machine has: everything is made, then the start fails.
    let arguments = ["--only", "capital-tcp", "--listen", "capital-tcp=192.0.2.1:1", "--set", "allow-sample-passwords=true"];
    portico(folder.path(), &arguments).refused(&["192.0.2.1:1", "capital-tcp"]);
    let has = |name: &str| folder.path().join(name).exists();
    assert!(has("www/index.html") && has("maildir/bob/new") && has("certs/ca.pem") && has("var"));
    fs::remove_file(folder.path().join("www/index.html")).unwrap();
    portico(folder.path(), &arguments).refused(&["192.0.2.1:1"]);
    assert!(!has("www/index.html"), "what a person removed does not come back by itself");
    assert_eq!(portico(folder.path(), &["reset"]).fine(), "restored www/index.html\n");
    assert_eq!(portico(folder.path(), &["reset"]).fine(), "");
}

#[test]
fn the_parts_of_the_data_folder_can_lie_elsewhere() {
    let folder = empty();
    let arguments = ["--data", "d", "--www", "w", "--maildir", "m", "--certs", "c", "--var", "v"];
    let fails = ["--only", "capital-tcp", "--listen", "capital-tcp=192.0.2.1:1", "--set", "allow-sample-passwords=true"];
    portico(folder.path(), &[&arguments[..], &fails[..]].concat()).refused(&["192.0.2.1:1"]);
    for part in ["w/index.html", "m/bob/new", "c/ca.pem", "v/lock"] {
        assert!(folder.path().join(part).exists(), "{part}");
    }
    assert_eq!(fs::read_dir(folder.path().join("d")).unwrap().count(), 0);
}

#[test]
fn the_start_up_table_fits_a_terminal() {
    let lab = Lab::new();
    let _server = lab.start(&[]);
    let log = until("the table is printed", || fs::read_to_string(lab.path("log")).ok().filter(|log| log.contains("capital-udp")));
    let table: Vec<_> = log.lines().skip_while(|line| !line.starts_with("service ")).take_while(|line| !line.is_empty()).collect();
    assert!(table.len() > 8, "{log}");
    for line in &table {
        assert!(line.chars().count() <= 80, "{line}");
        assert!(!line.contains(['\x1b', '{']), "{line}");
    }
    for line in ready(&lab).iter().filter(|line| line.contains("127.0.0.1")) {
        let (service, address) = line.split_once(' ').unwrap();
        assert!(table.iter().any(|row| row.starts_with(service) && row.contains(address)), "{line} in {table:?}");
    }
}

#[test]
fn a_conversation_may_end_before_the_server_stops() {
    let lab = Lab::new();
    let server = lab.start(&["--only", "smtp"]);
    let mut smtp = Dialogue::with(server.at("smtp", Family::V4));
    smtp.hear("220");
    signal(&server, Signal::TERM);
    smtp.hear("421");
    server.stop();
}

#[test]
fn a_second_signal_stops_at_once() {
    let lab = Lab::new();
    let server = lab.start(&["--only", "http"]);
    let mut halfway = TcpStream::connect(server.at("http", Family::V4)).unwrap();
    std::io::Write::write_all(&mut halfway, b"PUT /x HTTP/1.1\r\nHost: localhost\r\nContent-Len").unwrap();
    signal(&server, Signal::INT);
    until("the server drains", || server.log().contains("stopping").then_some(()));
    server.stop();
    let mut rest = Vec::new();
    let _reset_or_closed = halfway.read_to_end(&mut rest);
}

#[test]
fn nothing_stays_behind_but_data() {
    let lab = Lab::new();
    lab.start(&[]).stop();
    assert!(!Path::new(&lab.data().join("var/control.sock")).exists());
}
