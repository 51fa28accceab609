//! What the rules may ask for: values, carried out by the conversation.

use std::net::SocketAddr;

use crate::{
    ftp::{
        command::{ByteRange, Digest, Representation, SetBy},
        directory::Wanted,
        listing::FactSet,
        reply::Reply,
    },
    store::{Secret, VirtualPath, tree::Receive},
};

/// What to do about a command.
#[derive(Debug)]
pub(crate) enum Step {
    Say(Reply),
    /// Say it and close.
    Close(Reply),
    /// Say it and hand over to the handshake.
    StartTls(Reply),
    /// Forget everything but the connection.
    Reinitialise,
    /// Check the password, then tell [`super::Session::logged_in`].
    LogIn(String, Secret),
    /// Go there if it is a directory, then tell [`super::Session::enter`].
    Enter(VirtualPath),
    /// Check that it is there, and a directory where it was named as one, then tell
    /// [`super::Session::rename_from`].
    RenameFrom {
        path: VirtualPath,
        is_folder: bool,
    },
    Change(Change),
    Ask(Question),
    /// Digest a file or a part of it, and stop where ABOR says so. `named` as HASH tells it, else
    /// alone.
    Hash {
        path: VirtualPath,
        digest: Digest,
        range: ByteRange,
        named: bool,
    },
    /// Await the data connection.
    Listen(Passive),
    /// Make the next data connection to there, and say so.
    Aim(SocketAddr, Reply),
    Transfer(Transfer),
    /// ABOR while nothing is under way: close the data connection if there is one, and say so.
    HangUp(Reply),
    /// Tell how things stand.
    Status,
    /// Wait so many seconds for commands from now on, or tell how many it is.
    Idle(Option<u64>),
}

/// Something done to the file tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    MakeFolder(VirtualPath),
    RemoveFolder(VirtualPath),
    RemoveFile(VirtualPath),
    Rename { from: VirtualPath, to: VirtualPath },
    SetFacts { path: VirtualPath, modified_unix_secs: Option<i64>, mode: Option<u32>, by: SetBy },
}

/// Something asked about the file tree, and answered on the control connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Size(VirtualPath, Representation),
    Modified(VirtualPath),
    /// MLST.
    Facts(VirtualPath, FactSet),
    /// AVBL.
    Available(VirtualPath),
    /// ALLO: whether so much can be stored.
    Room {
        folder: VirtualPath,
        octets: u64,
    },
    /// STAT with a path.
    Status {
        path: VirtualPath,
        hidden: bool,
    },
}

/// How the reply to a passive command is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passive {
    /// 227 with address and port.
    Pasv,
    /// 229 with the port.
    Epsv,
}

/// Something that goes over a data connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    Retrieve {
        path: VirtualPath,
        /// The restart marker counts octets of the representation.
        range: ByteRange,
        representation: Representation,
    },
    Store {
        path: VirtualPath,
        how: Receive,
        representation: Representation,
    },
    /// STOU, into this directory.
    StoreUnique {
        folder: VirtualPath,
        representation: Representation,
    },
    List(Wanted),
}
