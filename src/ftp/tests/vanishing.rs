//! Clients that vanish at every point of a transfer, passive and active, in the clear and under TLS:
//! the old file stands or the whole of what came, and the next client finds nothing in its way.

use super::*;

/// What a client was at when it vanished.
#[derive(Clone, Copy, Debug)]
struct Plan {
    secure: bool,
    active: bool,
    command: &'static str,
    /// So many steps were done.
    steps: usize,
    /// Which of its connections were lost.
    lost: Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Control,
    Data,
    Both,
}

/// Steps that a transfer has at most.
const MAX_STEPS: usize = 6;

#[tokio::test(start_paused = true)]
async fn whatever_a_client_was_at_the_next_one_is_served() {
    for secure in [false, true] {
        for command in ["STOR a.txt", "APPE a.txt", "STOR new.txt", "RETR a.txt", "MLSD"] {
            for (active, lost) in
                [(false, Lost::Control), (false, Lost::Data), (false, Lost::Both), (true, Lost::Control), (true, Lost::Both)]
            {
                for steps in 0..=MAX_STEPS {
                    vanish(Plan { secure, active, command, steps, lost }).await;
                }
            }
        }
    }
}

async fn vanish(plan: Plan) {
    let mut lab = Lab::open().await;
    let mut client = Client::connect(&lab, plan.secure).await;
    let _as_far_as_it_came = client.transfer(&lab, plan).await;
    let Client { control, data, .. } = client;
    // What is kept here is a client that says nothing any more.
    let _kept = match plan.lost {
        Lost::Control => (None, data),
        Lost::Data => (Some(control), None),
        Lost::Both => (None, None),
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stored = String::from_utf8(lab.stored()).unwrap();
    let may_be_cut = plan.lost == Lost::Data && !plan.secure && plan.command.ends_with("a.txt");
    let whole = ["old", "new file", "oldnew file"].contains(&stored.as_str());
    // In the clear the end of a data connection is the end of a file (RFC 959, 3.4.1).
    assert!(whole || may_be_cut && ["", "new", "oldnew"].contains(&stored.as_str()), "{plan:?}: {stored}");
    serve_the_next(&mut lab, plan).await;
}

async fn serve_the_next(lab: &mut Lab, plan: Plan) {
    let begun = tokio::time::Instant::now();
    lab.log_in().await;
    for name in ["a.txt", "new.txt"] {
        loop {
            let port = lab.passive_port().await;
            let mut data = lab.dialer.connect_to(port, None, Gate::Open, "data", None).await.unwrap();
            let control = lab.control.as_mut().unwrap();
            control.write_all(format!("STOR {name}\r\n").as_bytes()).await.unwrap();
            if lab.expect_line().await.starts_with("125") {
                data.push(b"of the next one");
                data.finish().await.unwrap();
                lab.expect(226).await;
                break;
            }
            // Somebody is still waited for; that has an end.
            assert!(begun.elapsed() < Duration::from_secs(300), "{plan:?}: {:?}", begun.elapsed());
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
    assert_eq!(lab.stored(), b"of the next one", "{plan:?}");
}

struct Client {
    control: Conn,
    data: Option<Conn>,
    steps: usize,
}

impl Client {
    async fn connect(lab: &Lab, secure: bool) -> Client {
        let mut control = lab.dialer.connect_to(CONTROL.into(), None, Gate::Open, "ftp", None).await.unwrap();
        hear(&mut control).await;
        if secure {
            say_all(&mut control, &["AUTH TLS"]).await;
            control = control.secure(&lab.tls, "localhost").await.unwrap();
            say_all(&mut control, &["PBSZ 0", "PROT P"]).await;
        }
        say_all(&mut control, &["USER alice", "PASS wonderland", "TYPE I"]).await;
        Client { control, data: None, steps: 0 }
    }

    /// Goes on only as long as there are steps left.
    fn step(&mut self, plan: Plan) -> Option<()> {
        self.steps += 1;
        (self.steps <= plan.steps).then_some(())
    }

    async fn say(&mut self, line: &str) -> Option<()> {
        self.control.say(format!("{line}\r\n"));
        self.control.flush().await.ok()
    }

    async fn transfer(&mut self, lab: &Lab, plan: Plan) -> Option<()> {
        self.step(plan)?;
        let mut listener = if plan.active { Some(lab.dialer.network.listen(([127, 0, 0, 1], 0).into()).ok()?) } else { None };
        let port = match &listener {
            Some(listener) => {
                let port = listener.local_addr().ok()?.port();
                self.say(&format!("EPRT |1|127.0.0.1|{port}|")).await?;
                port
            }
            None => {
                self.say("EPSV").await?;
                0
            }
        };
        self.step(plan)?;
        let reply = hear(&mut self.control).await;
        if listener.is_none() {
            let port = reply.split('|').nth(3).unwrap().parse().unwrap();
            let data = lab.dialer.connect_to(SocketAddr::from((CONTROL.0, port)), None, Gate::Open, "data", None).await;
            self.data = data.ok();
        }
        self.step(plan)?;
        self.say(plan.command).await?;
        if let Some(listener) = &mut listener {
            let (plain, from) = listener.accept().await.ok()?;
            self.data = Some(lab.dialer.adopt(plain, (from, ([127, 0, 0, 1], port).into()), "data", 0));
        }
        self.step(plan)?;
        let mut data = self.data.take()?;
        if plan.secure {
            data = data.secure(&lab.tls, "localhost").await.ok()?;
        }
        let uploads = plan.command.starts_with("STOR") || plan.command.starts_with("APPE");
        if uploads {
            data.push(b"new");
            data.flush().await.ok()?;
        } else {
            let _some = data.bytes().await.ok()?;
        }
        let data = self.data.insert(data);
        if plan.steps > 4 && uploads {
            data.push(b" file");
            data.flush().await.ok()?;
        }
        self.step(plan)?;
        self.step(plan)?;
        self.data.as_mut()?.finish().await.ok()
    }
}
