//! Listings are bounded in what they show, and in what they keep while they show it.

use super::*;

async fn listed(lab: &mut Lab, command: &str) -> (String, String) {
    let port = lab.passive_port().await;
    let (mut data, _) = lab.dialer.network.dial(port, None).await.unwrap();
    lab.say(command, 125).await;
    let mut listing = String::new();
    data.read_to_string(&mut listing).await.unwrap();
    (listing, lab.expect(226).await)
}

#[tokio::test(start_paused = true)]
async fn a_recursive_listing_goes_first_into_the_depth_and_not_too_deep() {
    let mut lab = Lab::open().await;
    let deep: String = (0..40).map(|depth| format!("/{depth}")).collect();
    lab.tree = lab.tree.with(&format!("/top{deep}/file"), "").with("/top/1/file", "");
    let (listing, last) = listed(&mut lab, "NLST -R top").await;
    let lines: Vec<_> = listing.lines().collect();
    // The directory itself, sixteen below it, and what is in the last.
    assert_eq!(lines.len(), 2 + 16 + 1, "{listing}");
    assert_eq!((lines[0], lines[1], lines[2]), ("top/0", "top/1", "top/0/1"));
    assert_eq!(lines.last(), Some(&"top/1/file"));
    assert!(last.contains("there is more"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn a_recursive_listing_stops_after_so_many_entries_and_says_so() {
    let mut lab = Lab::open().await;
    for number in 0..11_000 {
        lab.tree = lab.tree.with(&format!("/many/{}/{number}", number % 11), "");
    }
    for (command, prefix) in [("LIST -R many", "-"), ("NLST -R many", "many/")] {
        let (listing, last) = listed(&mut lab, command).await;
        assert!(last.contains("there is more"), "{last}");
        let shown = listing.lines().filter(|line| line.starts_with(prefix)).count();
        assert!((9_900..=10_000).contains(&shown), "{command}: {shown}");
    }
    let (listing, last) = listed(&mut lab, "NLST many/7/*9").await;
    assert_eq!((listing.lines().count(), last.contains("complete")), (100, true));
}

/// It would be tried on each of many entries.
#[tokio::test(start_paused = true)]
async fn a_pattern_longer_than_a_name_is_none() {
    let mut lab = Lab::open().await;
    let _port = lab.passive_port().await;
    for pattern in [format!("{}b", "*a".repeat(200)), format!("[{}]", "a".repeat(300))] {
        lab.say(&format!("NLST {pattern}"), 550).await;
    }
}
