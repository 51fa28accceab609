//! The relay and a next hop that says whatever it likes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::sleep,
};

use super::bounded;
use crate::{
    config::{self, Settings},
    net::network::Network,
    services::House,
    store::{
        envelope::{Envelope, MailParameters, Notify, Progress, RcptParameters, Recipient, RecipientState},
        mail::Parcel,
    },
    testing::house_in_memory,
};

/// Longer than all phases of one attempt together, and shorter than the wait for the next.
const ONE_ATTEMPT: Duration = Duration::from_secs(6 * 60 * 60);
const TEXT: &[u8] = b"Subject: dots\r\n\r\n.the text of it\r\n";

/// Octets up to a NUL are one thing that the next hop says, after each thing that it hears. Whatever
/// that is, the message is not lost: it waits, or its sender has it back, or the hop has heard it.
pub async fn relay_conversation(data: &[u8]) {
    let network = Network::memory();
    let (house, _stopper) = house_in_memory(settings(), network.clone()).expect("the samples are in order");
    let house = Arc::new(house);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut serving = JoinSet::new();
    serving.spawn(play_hop(network, bounded(data).to_vec(), heard.clone()));
    enter(&house);
    let mut noted = house.recorder.listen();
    serving.spawn(house.runner().run(house.stop.clone()));
    sleep(ONE_ATTEMPT).await;
    while let Some(ended) = serving.try_join_next() {
        ended.expect("neither runner nor hop panics");
    }
    while noted.try_recv().is_ok() {}
    let heard = std::mem::take(&mut *heard.lock().expect("no code panics while it holds this"));
    let waits = house.queue.list().expect("the queue can be read").iter().any(|entry| entry.recipients.iter().any(Recipient::is_waiting));
    let reports = house.mail.open_maildrop("eve").expect("nobody else has it").messages().len();
    let has_text = memchr::memmem::find(&heard, b".the text of it\r\n").is_some();
    assert!(waits || reports > 0 || has_text, "the message is lost: {}", heard.escape_ascii());
    let commands = memchr::memmem::find_iter(&heard, b"MAIL FROM:").count();
    assert!(commands <= 20, "one attempt became {commands}");
}

fn settings() -> Settings {
    let text = "[smtp.routes]\n\"*\" = \"127.0.0.1:25\"\n[smtp.retry]\nfirst = \"1day\"\n[accounts.eve]\npassword = \"x\"\n";
    config::read::merge(("portico.toml", text), std::iter::empty(), &[]).expect("these settings are right").settings
}

fn enter(house: &House) {
    let now = house.clock.now();
    let mut message = house.mail.spool().expect("memory has room");
    message.write(TEXT).expect("memory has room");
    let recipients = ["a@remote.example", "b@remote.example", "c@remote.example"].map(recipient).into();
    let relay = Some(envelope(recipients, now));
    house.mail.accept(Parcel { message, local: Vec::new(), relay, forwards: Vec::new() }).expect("memory has room");
}

fn envelope(recipients: Vec<Recipient>, now: SystemTime) -> Envelope {
    Envelope {
        id: "Q1".into(),
        sender: "eve@portico.test".into(),
        recipients,
        eight_bit: false,
        arrived: now,
        attempts: 0,
        next_attempt: now,
        held: false,
        parameters: MailParameters::default(),
    }
}

fn recipient(address: &str) -> Recipient {
    Recipient {
        address: address.into(),
        state: RecipientState::Waiting { last_reply: None },
        parameters: RcptParameters { notify: Some(Notify { success: true, failure: true, delay: true }), orcpt: None },
        report: None,
        progress: Progress::default(),
    }
}

/// A next hop that speaks its lines one after the other, and starts over for each connection.
async fn play_hop(network: Network, says: Vec<u8>, heard: Arc<Mutex<Vec<u8>>>) {
    let mut listener = network.listen(SocketAddr::from(([127, 0, 0, 1], 25))).expect("nobody else listens there");
    let mut talking = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let (says, heard) = (says.clone(), heard.clone());
        talking.spawn(async move {
            let mut chunk = [0; 4096];
            for line in says.split(|octet| *octet == 0) {
                if stream.write_all(line).await.is_err() {
                    return;
                }
                let Ok(octets @ 1..) = stream.read(&mut chunk).await else { return };
                heard.lock().expect("no code panics while it holds this").extend_from_slice(&chunk[..octets]);
            }
        });
    }
}
