//! What survives: `kill -9` under load, mail for a server that is down, and the order of syncs
//! and replies as the kernel sees it.
//!
//! Ten rounds of killing by default; PORTICO_CRASH_ROUNDS says otherwise.

mod support;

#[path = "crash/cache.rs"]
mod cache;
#[path = "crash/load.rs"]
mod load;
#[path = "crash/queue.rs"]
mod queue;
#[path = "crash/rounds.rs"]
mod rounds;
#[path = "crash/senders.rs"]
mod senders;
#[path = "crash/syncs.rs"]
mod syncs;
#[path = "crash/uploads.rs"]
mod uploads;
#[path = "crash/visitors.rs"]
mod visitors;

use libtest_mimic::Arguments;
use support::{Family, trial};

fn main() {
    let v4 = Family::V4;
    let trials = vec![
        trial("nothing_acknowledged_is_lost_by_kill_9", &[], v4, rounds::nothing_acknowledged_is_lost),
        trial("nothing_that_got_its_250_is_lost", &[], v4, senders::nothing_that_got_its_250_is_lost),
        trial("additions_and_renames_survive_kill_9", &[], v4, uploads::additions_and_renames_survive),
        trial("a_cache_serves_nothing_torn_after_kill_9", &[], v4, cache::a_cache_serves_nothing_torn),
        trial("the_cache_is_looked_after", &[], v4, cache::the_cache_is_looked_after),
        trial("mail_waits_for_a_server_that_is_down", &[], v4, queue::mail_waits_for_a_server_that_is_down),
        trial("urgent_mail_goes_first_and_held_mail_stays", &[], v4, queue::urgent_mail_goes_first_and_held_mail_stays),
        trial("a_visitor_is_known_after_kill_9", &[], v4, visitors::a_visitor_is_known_after_kill_9),
        trial("the_syncs_come_before_the_replies", syncs::needs(), v4, syncs::the_syncs_come_before_the_replies),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
