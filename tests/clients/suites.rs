//! The built-in suites against servers that everybody knows. What these do otherwise, and may, is
//! listed with each; `docs/transcripts.md` says why.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
};

use crate::support::{Lab, attempt, command, run, text, until};

/// A server of another house, on a port of its own; ended when dropped.
struct Foreign {
    process: Child,
    at: SocketAddr,
}

impl Foreign {
    /// Starts a program in the foreground and waits until it listens.
    fn start(lab: &Lab, at: SocketAddr, words: &[&str]) -> Foreign {
        let log = fs::File::create(lab.path("foreign.log")).expect("the lab is writable");
        let shared = log.try_clone().expect("a file can be shared");
        let process = command(words[0]).args(&words[1..]).stdin(Stdio::null()).stdout(shared).stderr(log).spawn();
        let mut server = Foreign { process: process.expect("the server can be started"), at };
        until(&format!("{} listens", words[0]), || {
            if let Ok(Some(status)) = server.process.try_wait() {
                panic!("{} ended at once, {status}:\n{}", words[0], fs::read_to_string(lab.path("foreign.log")).unwrap_or_default());
            }
            TcpStream::connect(at).ok()
        });
        server
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let id = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw);
        // It may have ended already. Asked politely it takes its own processes with it.
        let _asked = id.map(|id| rustix::process::kill_process(id, rustix::process::Signal::TERM));
        let _waited = self.process.wait();
    }
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound")
}

/// What the suites want of a server: files below `files`, mail below `mail/SUITE/ACCOUNT`.
fn prepare(lab: &Lab) {
    run(env!("CARGO_BIN_EXE_portico"), &["transcript", "suites", "--export", text(&lab.path("suites"))]);
}

/// Plays a suite; the parts that fail must be these. One behind `perhaps: ` fails or doesn't, as the
/// server's own processes happen to take turns.
fn play(suite: &str, at: SocketAddr, defines: &[&str], differences: &[&str]) {
    play_with(suite, at, &[], defines, differences);
}

/// The same, with more on the command line.
fn play_with(suite: &str, at: SocketAddr, flags: &[&str], defines: &[&str], differences: &[&str]) {
    let target = at.to_string();
    let mut words = vec!["transcript", "run", "--suite", suite, "--target", &target, "--json"];
    words.extend(flags);
    defines.iter().for_each(|define| words.extend(["--define", define]));
    let output = attempt(env!("CARGO_BIN_EXE_portico"), &words, b"");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let reports: Vec<serde_json::Value> = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    let parts = reports[0]["parts"].as_array().unwrap_or_else(|| panic!("no parts in {told}"));
    let mut failed: BTreeSet<_> =
        parts.iter().filter(|part| part["verdict"] != "passed").filter_map(|part| part["title"].as_str()).collect();
    differences.iter().filter_map(|part| part.strip_prefix("perhaps: ")).for_each(|part| {
        failed.remove(part);
    });
    let expected: BTreeSet<_> = differences.iter().copied().filter(|part| !part.starts_with("perhaps: ")).collect();
    assert_eq!(failed, expected, "{suite}: {told}");
}

/// A certificate for localhost, as Portico makes it at its first start: chain and key, and the
/// definition that believes it.
struct Certificate {
    chain: String,
    key: String,
    authority: String,
}

fn certificate(lab: &Lab) -> Certificate {
    drop(lab.start(&["--only", "https"]));
    let file = |name: &str| text(&lab.data().join("certs").join(name)).to_owned();
    Certificate { chain: file("server.pem"), key: file("server.key"), authority: file("ca.pem") }
}

/// Gives everything below a folder to a user.
fn give(folder: &Path, user: &str) {
    run("chown", &["-R", user, text(folder)]);
}

/// Opens the temporary folder for servers that change their user.
fn open(lab: &Lab) {
    run("chmod", &["-R", "a+rX", text(&lab.path("."))]);
}

pub fn nginx() {
    let lab = Lab::new();
    prepare(&lab);
    open(&lab);
    let (at, under_tls, certificate) = (free_address(), free_address(), certificate(&lab));
    let (root, files) = (lab.path("."), lab.path("suites/files"));
    let config = format!(
        "daemon off;\nworker_processes 1;\nerror_log stderr;\npid {root}/pid;\nevents {{}}\nhttp {{\n  include /etc/nginx/mime.types;\n  access_log off;\n  \
         client_body_temp_path {root}/a;\n  proxy_temp_path {root}/b;\n  fastcgi_temp_path {root}/c;\n  uwsgi_temp_path {root}/d;\n  scgi_temp_path {root}/e;\n  \
         server {{ listen {at}; listen {under_tls} ssl; ssl_certificate {chain}; ssl_certificate_key {key}; root {files}; }}\n}}\n",
        root = text(&root),
        files = text(&files),
        chain = certificate.chain,
        key = certificate.key,
    );
    let config = lab.write("nginx.conf", config);
    let server = Foreign::start(&lab, at, &["nginx", "-c", text(&config), "-e", "stderr"]);
    play("http-basic", server.at, &[], &[]);
    play("http-persistent", server.at, &[], &[]);
    play("http-conditional", server.at, &[], &[]);
    play_with("https-basic", under_tls, &["--ca", &certificate.authority], &[], &[]);
}

pub fn dovecot() {
    for suite in ["pop3-basic", "pop3-delete", "pop3-stls"] {
        let lab = Lab::new();
        prepare(&lab);
        let certificate = certificate(&lab);
        let at = free_address();
        let maildir = lab.path("maildir");
        for folder in ["new", "cur", "tmp"] {
            fs::create_dir_all(maildir.join(folder)).expect("the lab is writable");
        }
        for (number, letter) in ["1", "2", "3"].iter().enumerate() {
            let Ok(content) = fs::read_to_string(lab.path(&format!("suites/mail/{suite}/bob/{letter}.eml"))) else { continue };
            fs::write(maildir.join(format!("new/78411177{number}.M{number}P1.suite")), content.replace('\r', ""))
                .expect("the lab is writable");
        }
        open(&lab);
        give(&maildir, "mail:mail");
        let root = lab.path(".");
        let config = format!(
            "base_dir = {root}/run\nlog_path = {root}/dovecot.log\nprotocols = pop3\nlisten = 127.0.0.1\nssl = yes\nssl_cert = <{chain}\nssl_key = <{key}\ndisable_plaintext_auth = no\n\
             first_valid_uid = 1\nmail_location = maildir:{root}/maildir\npassdb {{\n  driver = static\n  args = password=hungry\n}}\n\
             userdb {{\n  driver = static\n  args = uid=mail gid=mail home={root}\n}}\n\
             service pop3-login {{\n  inet_listener pop3 {{\n    port = {port}\n  }}\n  inet_listener pop3s {{\n    port = 0\n  }}\n}}\n",
            root = text(&root),
            port = at.port(),
            chain = certificate.chain,
            key = certificate.key,
        );
        let config = lab.write("dovecot.conf", config);
        let server = Foreign::start(&lab, at, &["dovecot", "-F", "-c", text(&config)]);
        let differences: &[_] = if suite == "pop3-stls" { &["forgets what was said before"] } else { &[] };
        play_with(suite, server.at, &["--ca", &certificate.authority], &[], differences);
    }
}

pub fn postfix() {
    let lab = Lab::new();
    let (at, hop, certificate) = (free_address(), free_address(), certificate(&lab));
    let (root, config) = (lab.path("."), lab.path("postfix"));
    for folder in [lab.path("spool"), lab.path("data"), config.clone()] {
        fs::create_dir_all(folder).expect("the lab is writable");
    }
    open(&lab);
    give(&lab.path("data"), "postfix");
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {root}/spool\ndata_directory = {root}/data\nmail_owner = postfix\nsetgid_group = postdrop\n\
         command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmyhostname = mail.portico.test\nmydestination = portico.test\n\
         mynetworks = 127.0.0.2/32\nrelay_domains = remote.example\nlocal_recipient_maps =\nlocal_transport = discard:here\nalias_maps =\n\
         transport_maps = inline:{{ remote.example=smtp:[127.0.0.1]:{hop_port} }}\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
         maillog_file = {root}/mail.log\nmaillog_file_prefixes = {root}\nsmtp_dns_support_level = disabled\nmax_idle = 5s\n\
         smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {key}, {chain}\n",
        root = text(&root),
        hop_port = hop.port(),
        chain = certificate.chain,
        key = certificate.key,
    );
    fs::write(config.join("main.cf"), main).expect("the lab is writable");
    let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\n\
        bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nflush unix n - n 1000? 0 flush\n\
        proxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\nerror unix - - n - - error\nretry unix - - n - - error\n\
        discard unix - - n - - discard\ntlsmgr unix - - n 1000? 1 tlsmgr\nanvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n\
        showq unix n - n - - showq\n";
    fs::write(config.join("master.cf"), format!("{at} inet n - n - - smtpd\n{services}")).expect("the lab is writable");
    let server = Foreign::start(&lab, at, &["postfix", "-c", text(&config), "start-fg"]);
    play("smtp-basic", server.at, &[], &[]);
    play("smtp-relay", server.at, &[&format!("hop-port={}", hop.port())], &[]);
    play_with("smtp-starttls", server.at, &["--ca", &certificate.authority], &[], &[]);
}

pub fn vsftpd() {
    let lab = Lab::new();
    prepare(&lab);
    let (at, empty, certificate) = (free_address(), lab.path("empty"), certificate(&lab));
    fs::create_dir_all(&empty).expect("the lab is writable");
    open(&lab);
    let files = lab.path("suites/files");
    give(&files.join("suite"), "ftp");
    let config = format!(
        "listen=YES\nlisten_ipv6=NO\nbackground=NO\nlisten_address=127.0.0.1\nlisten_port={port}\nanonymous_enable=YES\nlocal_enable=NO\nwrite_enable=YES\n\
         anon_root={files}\nanon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_other_write_enable=YES\nanon_umask=022\nseccomp_sandbox=NO\n\
         connect_from_port_20=NO\nsecure_chroot_dir={empty}\nallow_writeable_chroot=YES\n\
         ssl_enable=YES\nallow_anon_ssl=YES\nrequire_ssl_reuse=NO\nssl_ciphers=HIGH\nrsa_cert_file={chain}\nrsa_private_key_file={key}\n",
        port = at.port(),
        chain = certificate.chain,
        key = certificate.key,
        files = text(&files),
        empty = text(&empty),
    );
    let config = lab.write("vsftpd.conf", config);
    let server = Foreign::start(&lab, at, &["vsftpd", text(&config)]);
    let guest = ["user=anonymous", "password=guest@lab.example"];
    play("ftp-passive", server.at, &guest, &["lets nobody in who does not"]);
    play("ftp-active", server.at, &guest, &[]);
    play("ftp-rename", server.at, &guest, &["wants them directly after one another"]);
    let differences = [
        "lets in who knows the password, and says that the end is the end",
        "forgets what was said before",
        // It ends with 500 in the clear where both commands came at once.
        "perhaps: takes nothing that was slipped in before the handshake",
    ];
    play_with("ftp-tls", server.at, &["--ca", &certificate.authority], &guest, &differences);
}
