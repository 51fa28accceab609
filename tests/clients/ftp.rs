//! FTP as people use it: curl, lftp, ncftp, tnftp, Python's ftplib, and a client with windows.

use std::{fs, net::SocketAddr, path::Path};

use crate::{
    Security,
    support::{Family, Lab, Server, attempt, python, run, run_with, text},
};

const QUIET: [&str; 5] = ["--disable", "--silent", "--show-error", "--max-time", "30"];

/// Octets that differ everywhere.
fn long_content() -> Vec<u8> {
    (0u32..500_000).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn at(server: &Server, security: Security, family: Family) -> SocketAddr {
    server.at(if security == Security::Implicit { "ftps" } else { "ftp" }, family)
}

fn www(lab: &Lab, name: &str) -> std::path::PathBuf {
    lab.data().join("www").join(name)
}

fn lftp(server: &Server, commands: &str) -> String {
    let settings = format!(
        "set cmd:fail-exit yes; set net:timeout 15; set net:max-retries 2; set ssl:ca-file {}; set ssl:check-hostname no; ",
        text(&server.ca)
    );
    run("lftp", &["--norc", "-c", &(settings + commands)])
}

/// Everything that ftplib does, passive and active.
pub fn ftplib_does_everything(security: Security, family: Family) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let at = at(&server, security, family);
    for way in ["passive", "active"] {
        python("ftp_everything.py", &[&at.ip().to_string(), &at.port().to_string(), security.name(), text(&server.ca), way]);
    }
    server.stop();
}

/// FEAT, OPTS, MLSD, REST, MFMT, PBSZ, PROT: the sequence of a client with windows.
pub fn a_client_with_windows(family: Family) {
    let lab = Lab::new();
    let server = lab.start(&["--set", "ftp.require-tls-reuse=true"]);
    let at = server.at("ftp", family);
    python("ftp_window.py", &[&at.ip().to_string(), &at.port().to_string(), text(&server.ca)]);
    server.stop();
}

/// Data connections resume the session of their own control connection and no other, in both
/// versions of TLS; one ticket serves many.
pub fn sessions_are_resumed() {
    let lab = Lab::new();
    let server = lab.start(&["--set", "ftp.require-tls-reuse=true"]);
    let at = server.at("ftp", Family::V4);
    for version in ["TLSv1_2", "TLSv1_3"] {
        python("ftp_sessions.py", &[&at.ip().to_string(), &at.port().to_string(), text(&server.ca), version]);
    }
    let (up, down) = (lab.write("up", long_content()), lab.path("down"));
    let url = format!("ftp://{at}/");
    run(
        "curl",
        &[
            &QUIET[..],
            &["--user", "alice:wonderland", "--ssl-reqd", "--cacert", text(&server.ca), "--insecure"],
            &["--upload-file", text(&up), &url],
        ]
        .concat(),
    );
    assert_eq!(fs::read(www(&lab, "up")).ok(), Some(long_content()));
    lftp(
        &server,
        &format!(
            "set ftp:ssl-force yes; set ftp:ssl-protect-data yes; open -u alice,wonderland ftp://{at}; put {} -o again; get again -o {}",
            text(&up),
            text(&down)
        ),
    );
    assert_eq!(fs::read(www(&lab, "again")).ok(), Some(long_content()));
    assert_eq!(fs::read(down).ok(), Some(long_content()));
    server.stop();
}

/// Who comes to a passive port from another address gets nothing, plants nothing, and keeps nobody
/// waiting, however many they are (RFC 2577, 7).
pub fn strangers_at_a_passive_port() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let at = server.at("ftp", Family::V4);
    python("ftp_strangers.py", &[&at.ip().to_string(), &at.port().to_string()]);
    python("ftp_two_families.py", &[&at.port().to_string(), &server.at("ftp", Family::V6).port().to_string()]);
    server.stop();
}

/// A directory of 100,000 entries is listed in every form, in memory that doesn't grow with it.
pub fn a_vast_directory_is_listed() {
    const ENTRIES: usize = 100_000;
    let lab = Lab::new();
    let vast = www(&lab, "vast");
    fs::create_dir_all(&vast).expect("the lab is writable");
    for number in 0..ENTRIES {
        fs::File::create(vast.join(format!("a-name-of-some-length-{number:06}"))).expect("the lab is writable");
    }
    let server = lab.start(&["--only", "ftp"]);
    let at = server.at("ftp", Family::V4);
    // Warmed up by a small one.
    run("curl", &[&QUIET[..], &[&format!("ftp://{at}/")]].concat());
    let before = peak_kib(server.id());
    for option in ["--list-only", "--silent", "-X MLSD"] {
        let options: Vec<_> = option.split(' ').collect();
        let listing = run("curl", &[&QUIET[..4], &["60"], &options, &[&format!("ftp://{at}/vast/")]].concat());
        let names = listing.lines().map(|line| line.rsplit_once(' ').map_or(line, |(_, name)| name));
        let mut names: Vec<_> = names.filter(|name| name.starts_with("a-name")).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ENTRIES, "{option}");
    }
    let grown = peak_kib(server.id()).saturating_sub(before);
    assert!(grown < 8 * 1024, "three listings of {ENTRIES} entries took {grown} KiB of memory");
    server.stop();
}

/// The most memory that a process has had so far.
fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("there is /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it tells the peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// curl: up, down, a part, on from where it broke off, appended, active and passive.
pub fn curl_by_ftp(security: Security, family: Family) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let content = long_content();
    let file = lab.write("up.bin", &content);
    let scheme = if security == Security::Implicit { "ftps" } else { "ftp" };
    let url = format!("{scheme}://{}/up.bin", at(&server, security, family));
    let mut common = [&QUIET[..], &["--user", "alice:wonderland", "--cacert", text(&server.ca), "--insecure"]].concat();
    if security == Security::Upgraded {
        common.push("--ssl-reqd");
    }
    let curl = |more: &[&str]| run("curl", &[&common[..], more].concat());
    // Versions of curl that are still about fail at active connections under TLS.
    let ways: &[&[&str]] = if security == Security::Plain { &[&[], &["--ftp-port", "-"]] } else { &[&[]] };
    for active in ways {
        curl(&[*active, &["--upload-file", text(&file), &url]].concat());
        assert_eq!(fs::read(www(&lab, "up.bin")).ok().as_deref(), Some(&content[..]));
        let down = lab.path("down.bin");
        curl(&[*active, &["--output", text(&down), &url]].concat());
        assert_eq!(fs::read(&down).ok().as_deref(), Some(&content[..]));
        fs::write(&down, &content[..123_456]).expect("the lab is writable");
        curl(&[*active, &["--continue-at", "-", "--output", text(&down), &url]].concat());
        assert_eq!(fs::read(&down).ok().as_deref(), Some(&content[..]));
        curl(&[*active, &["--append", "--upload-file", text(&file), &url]].concat());
        assert_eq!(fs::read(www(&lab, "up.bin")).map(|all| all.len()).ok(), Some(2 * content.len()));
        fs::remove_file(www(&lab, "up.bin")).expect("it is there");
        // It is killed, and goes on.
        let slowly = ["--limit-rate", "500k", "--upload-file", text(&file), &url];
        let broken = attempt("timeout", &[&["--signal=KILL", "1", "curl"][..], &common[..], *active, &slowly].concat(), b"");
        assert!(!broken.status.success());
        assert!(!www(&lab, "up.bin").exists());
        curl(&[*active, &["--continue-at", "-", "--upload-file", text(&file), &url]].concat());
        assert_eq!(fs::read(www(&lab, "up.bin")).ok().as_deref(), Some(&content[..]));
    }
    server.stop();
}

/// lftp: mirrors both ways in parallel, on from where it broke off, active and passive.
pub fn lftp_mirrors_in_parallel(security: Security, family: Family) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let up = lab.path("up");
    for number in 0..30 {
        let folder = up.join(format!("folder {}", number % 3));
        fs::create_dir_all(&folder).expect("the lab is writable");
        fs::write(folder.join(format!("file {number}")), &long_content()[..number * 10_000]).expect("the lab is writable");
    }
    let scheme = if security == Security::Implicit { "ftps" } else { "ftp" };
    let force = if security == Security::Upgraded { "yes" } else { "no" };
    let allow = if security == Security::Plain { "no" } else { "yes" };
    let open = format!(
        "set ftp:ssl-allow {allow}; set ftp:ssl-force {force}; set ftp:ssl-protect-data yes; open -u alice,wonderland {scheme}://{}; ",
        at(&server, security, family)
    );
    for passive in ["on", "off"] {
        let (there, down) = (format!("/mirror-{passive}"), lab.path(&format!("down-{passive}")));
        let session = format!(
            "{open}set ftp:passive-mode {passive}; mirror -R --parallel=4 {} {there}; mirror --parallel=4 {there} {}",
            text(&up),
            text(&down)
        );
        lftp(&server, &session);
        assert_same(&up, &down);
    }
    let half = lab.write("half", &long_content()[..1_000_000]);
    let whole = lab.write("whole", long_content());
    lftp(&server, &format!("{open}put {} -o /it; put -c {} -o /it", text(&half), text(&whole)));
    assert_eq!(fs::read(www(&lab, "it")).ok(), Some(long_content()));
    lftp(&server, &format!("{open}get -c /it -o {}", text(&half)));
    assert_eq!(fs::read(&half).ok(), Some(long_content()));
    server.stop();
}

fn assert_same(one: &Path, other: &Path) {
    for entry in fs::read_dir(one).expect("it is there").flatten() {
        let copy = other.join(entry.file_name());
        match entry.path().is_dir() {
            true => assert_same(&entry.path(), &copy),
            false => assert_eq!(fs::read(entry.path()).ok(), fs::read(&copy).ok(), "{}", copy.display()),
        }
    }
}

/// ncftpput, ncftpget and ncftpls, passive and active, with one file and with a folder of many.
pub fn ncftp_puts_and_gets() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let at = server.at("ftp", Family::V4);
    let (host, port) = (at.ip().to_string(), at.port().to_string());
    let login = ["-u", "alice", "-p", "wonderland", "-P", &port];
    fs::write(lab.path("nc.bin"), long_content()).expect("the lab is writable");
    for way in ["-F", "-E"] {
        let folder = format!("nc{way}");
        run("ncftpput", &[&login[..], &[way, "-m", &host, &folder, text(&lab.path("nc.bin"))]].concat());
        assert_eq!(fs::read(www(&lab, &folder).join("nc.bin")).ok(), Some(long_content()));
        let down = lab.path(&format!("down{way}"));
        fs::create_dir(&down).expect("the lab is writable");
        run("ncftpget", &[&login[..], &[way, &host, text(&down), &format!("{folder}/nc.bin")]].concat());
        assert_eq!(fs::read(down.join("nc.bin")).ok(), Some(long_content()));
    }
    let many = lab.path("many");
    fs::create_dir(&many).expect("the lab is writable");
    let names: Vec<_> = (0..40).map(|number| format!("file{number}")).collect();
    names.iter().for_each(|name| fs::write(many.join(name), name).expect("the lab is writable"));
    run("ncftpput", &[&login[..], &["-R", "-m", &host, "nc-R", text(&many)]].concat());
    for name in &names {
        assert_eq!(fs::read_to_string(www(&lab, "nc-R/many").join(name)).ok().as_ref(), Some(name));
    }
    let listed = run("ncftpls", &["-u", "alice", "-p", "wonderland", "-P", &port, &format!("ftp://{host}/nc-F/")]);
    assert!(listed.contains("nc.bin"), "{listed}");
    server.stop();
}

/// The BSD client, by its commands, passive and active, over IPv4 and IPv6.
pub fn tnftp_puts_and_gets(family: Family) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let at = server.at("ftp", family);
    fs::write(lab.path("tn.bin"), long_content()).expect("the lab is writable");
    let (up, down) = (lab.path("tn.bin"), lab.path("down.bin"));
    for passive in ["on", "off"] {
        let _none_yet = fs::remove_file(&down);
        let commands = format!(
            "user alice wonderland\nbinary\npassive {passive}\nput {} /tn-{passive}\nget /tn-{passive} {}\nappend {} /tn-{passive}\nsize /tn-{passive}\nls -l /\nquit\n",
            text(&up),
            text(&down),
            text(&up)
        );
        let said = run_with("tnftp", &["-n", "-v", &at.ip().to_string(), &at.port().to_string()], commands.as_bytes());
        assert_eq!(fs::read(&down).ok(), Some(long_content()), "{said}");
        assert_eq!(fs::metadata(www(&lab, &format!("tn-{passive}"))).map(|facts| facts.len()).ok(), Some(4_000_000), "{said}");
    }
    server.stop();
}

/// lftp takes 4xx for a trouble that goes away: of what is not there it must hear something else.
pub fn lftp_does_not_wait_for_what_is_not_there() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let open =
        format!("set net:timeout 15; set ftp:ssl-allow no; open -u alice,wonderland ftp://{}; ", at(&server, Security::Plain, Family::V4));
    for ask in ["ls /nowhere", "nlist /nowhere", "set ftp:use-stat-for-list yes; ls /nowhere"] {
        // With its own number of tries, which is a thousand.
        let asked = attempt("timeout", &["15", "lftp", "--norc", "-c", &format!("{open}{ask}")], b"");
        assert_eq!(asked.status.code(), Some(1), "{ask}: {}", String::from_utf8_lossy(&asked.stderr));
    }
    server.stop();
}

/// wget reads listings, follows them, and goes by their times when it comes again.
pub fn wget_fetches_a_tree_by_ftp() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let there = www(&lab, "tree");
    for name in ["a.txt", "deep/er/b c.txt", "deep/d.bin"] {
        let path = there.join(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the lab is writable");
        fs::write(path, &long_content()[..name.len() * 10_000]).expect("the lab is writable");
    }
    let down = lab.path("down");
    let url = format!("ftp://alice:wonderland@{}/tree/", at(&server, Security::Plain, Family::V4));
    let words = ["--no-config", "--no-verbose", "--tries=1", "--timeout=20", "--no-host-directories", "--cut-dirs=1"];
    for way in ["--passive-ftp", "--no-passive-ftp"] {
        let _none_yet = fs::remove_dir_all(&down);
        run("wget", &[&words[..], &[way, "--mirror", "--directory-prefix", text(&down), &url]].concat());
        assert_same(&there, &down);
    }
    let again = attempt("wget", &[&words[..], &["--mirror", "--directory-prefix", text(&down), &url]].concat(), b"");
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!said.contains("d.bin\" [2"), "it has not changed: {said}");
    assert_same(&there, &down);
    server.stop();
}

/// Everything that Net::FTP does, passive and active.
pub fn perl_does_everything_by_ftp(family: Family) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let at = server.at("ftp", family);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/ftp_net.pl");
    let (up, down) = (format!("UP={}", lab.path("up").display()), format!("DOWN={}", lab.path("down").display()));
    for passive in ["1", "0"] {
        run("env", &[&up, &down, "perl", text(&script), &at.ip().to_string(), &at.port().to_string(), passive]);
        assert_eq!(fs::read(lab.path("down")).map(|rest| rest.len()).ok(), Some(10));
        fs::remove_file(lab.path("down")).expect("it is there");
    }
    server.stop();
}
