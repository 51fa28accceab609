//! `portico mail send`: writes a message and hands it to a server.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{Args, ValueEnum};

use super::submit;
use crate::{
    cli::{Outcome, folder::cannot, options::Global},
    error::StartError,
    mail::{
        address::Host,
        mime::draft::{Attachment, Draft, Person, Unwritable},
    },
    store::Secret,
};

/// The largest file that is attached, in octets: the whole message is made in memory.
const FILE_OCTETS: u64 = 256 * 1024 * 1024;

#[derive(Args)]
pub(crate) struct SendArgs {
    /// The author: bob@portico.test or "Bob <bob@portico.test>"; also the envelope's sender
    #[arg(long, value_name = "ADDRESS")]
    from: String,
    /// A recipient, or several with commas between (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<String>,
    /// Who gets a copy (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    cc: Vec<String>,
    /// Who gets a copy that the others don't see (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    bcc: Vec<String>,
    #[arg(long, default_value = "", hide_default_value = true)]
    subject: String,
    /// The text; @FILE takes it from a file, - from the standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// The same as HTML; with both, mail programs choose
    #[arg(long, value_name = "HTML", allow_hyphen_values = true)]
    html: Option<String>,
    /// Attach these files (repeatable)
    #[arg(long, value_name = "FILE", num_args = 1..)]
    attach: Vec<PathBuf>,
    /// One more header field: --header 'X-Mood: merry' (repeatable)
    #[arg(long, value_name = "FIELD")]
    header: Vec<String>,
    /// The server [default: the running Portico: submission with --user, smtp without]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) server: Option<String>,
    /// Log in as this account
    #[arg(long, value_name = "ACCOUNT", requires = "password_file")]
    pub(super) user: Option<String>,
    /// Its password is the first line of this file; - takes it from the standard input
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// When TLS is used [default: opportunistic; required with --user off this machine]
    #[arg(long, value_enum)]
    pub(super) tls: Option<Tls>,
    /// The authorities that are believed besides the system's [default: certs/ca.pem]
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Print the message and send nothing
    #[arg(long)]
    print: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "print")]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Tls {
    /// STARTTLS where it is offered, with any certificate
    Opportunistic,
    /// STARTTLS, with a certificate for the server's name
    Required,
    /// From the first octet, as on port 465, with a certificate for the server's name
    Implicit,
    /// In the clear
    Never,
}

pub(super) fn send(global: &Global, args: &SendArgs) -> Result<Outcome, StartError> {
    let draft = draft(args)?;
    let message = draft.build(rand::random()).map_err(unwritable)?;
    if args.print {
        // Whoever reads it may have seen enough.
        let _nobody_listens = std::io::stdout().lock().write_all(&message);
        return Ok(Outcome::Fine);
    }
    let envelope = envelope(args, &draft)?;
    submit::submit(global, args, envelope, message)
}

/// Sender and recipients, each once.
fn envelope(args: &SendArgs, draft: &Draft) -> Result<(String, Vec<String>), StartError> {
    let bcc = people(&args.bcc)?;
    let mut recipients: Vec<String> = Vec::new();
    for person in [&draft.to, &draft.cc, &bcc].into_iter().flatten() {
        let address = person.mailbox.to_string();
        if !recipients.contains(&address) {
            recipients.push(address);
        }
    }
    match (draft.from.first(), recipients.is_empty()) {
        (Some(author), false) => Ok((author.mailbox.to_string(), recipients)),
        _ => Err(StartError("name a recipient with --to, --cc or --bcc".into())),
    }
}

fn draft(args: &SendArgs) -> Result<Draft, StartError> {
    let from = people(std::slice::from_ref(&args.from))?;
    let host = from.first().map_or("localhost".into(), |author| match author.mailbox.host() {
        Host::Name(name) => name.clone(),
        literal => literal.to_string(),
    });
    let subject = args.subject.clone();
    Ok(Draft {
        from,
        to: people(&args.to)?,
        cc: people(&args.cc)?,
        subject,
        text: args.text.as_deref().map(text).transpose()?,
        html: args.html.as_deref().map(text).transpose()?,
        attachments: args.attach.iter().map(|path| attachment(path)).collect::<Result<_, _>>()?,
        fields: args.header.iter().map(|field| header(field)).collect::<Result<_, _>>()?,
        date: SystemTime::now(),
        message_id: format!("<{:032x}@{host}>", rand::random::<u128>()),
    })
}

fn people(flags: &[String]) -> Result<Vec<Person>, StartError> {
    let lists = flags.iter().map(|text| Person::parse_list(text)).collect::<Result<Vec<_>, _>>();
    Ok(lists.map_err(unwritable)?.concat())
}

fn unwritable(fault: Unwritable) -> StartError {
    StartError(format!("cannot write the message: {fault}"))
}

/// The text itself, `@FILE`, or `-`.
fn text(given: &str) -> Result<String, StartError> {
    let octets = match given.strip_prefix('@') {
        Some(path) => read(Path::new(path))?,
        None if given == "-" => {
            let mut octets = Vec::new();
            std::io::stdin()
                .take(FILE_OCTETS)
                .read_to_end(&mut octets)
                .map_err(|error| StartError(format!("cannot read the standard input: {error}")))?;
            octets
        }
        None => return Ok(given.to_owned()),
    };
    String::from_utf8(octets).map_err(|_| StartError(format!("cannot write the message: {given} is not UTF-8; attach it as a file")))
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    let length = fs::metadata(path).map_err(cannot("read", path))?.len();
    if length > FILE_OCTETS {
        return Err(StartError(format!("cannot attach {}: it has {length} octets, at most {FILE_OCTETS} are taken", path.display())));
    }
    fs::read(path).map_err(cannot("read", path))
}

fn attachment(path: &Path) -> Result<Attachment, StartError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let media = match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("eml")) {
        true => "message/rfc822".to_owned(),
        false => mime_guess::from_path(path).first_or_octet_stream().to_string(),
    };
    Ok(Attachment { name, media, content: read(path)? })
}

/// `X-Mood: merry`
fn header(field: &str) -> Result<(String, String), StartError> {
    let (name, value) =
        field.split_once(':').ok_or_else(|| StartError(format!("--header {field:?}: name and value have a colon between them")))?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

pub(super) fn password(path: &Path) -> Result<Secret, StartError> {
    let octets = match path == Path::new("-") {
        true => text("-")?.into_bytes(),
        false => read(path)?,
    };
    let text = String::from_utf8(octets).map_err(|_| StartError(format!("{}: a password is text", path.display())))?;
    Ok(Secret(text.lines().next().unwrap_or_default().to_owned()))
}
