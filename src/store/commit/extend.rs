//! Adding to a file in place, so that a crash takes back what was not acknowledged.
//!
//! ```text
//! link the file as its undo record, sync the folder of records    from here on a crash cuts back
//! write, write, ...
//! sync the file, remove the record, sync the folder               from here on it is acknowledged
//! ```
//!
//! To abort is to do by hand what the next start would do: cut off, sync, remove the record. The
//! record of an addition that was acknowledged must never come back, and one that can't be removed
//! must keep everybody off the file: the next start would cut off what others add.

use std::{
    ffi::OsString,
    io::{self, Write},
    time::SystemTime,
};

use super::{Change, Committer, Disk, Record, Spot};

/// How a file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub octets: u64,
    pub modified: SystemTime,
}

/// A file that is being added to. It has to be settled or cut back; where neither is done, the
/// next start cuts it back.
pub(crate) struct Extension<D: Disk> {
    file: D::File,
    record: Spot<D>,
    before: Standing,
}

impl<D: Disk> Extension<D> {
    pub(crate) fn file(&self) -> &D::File {
        &self.file
    }
}

impl<D: Disk> Write for Extension<D> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<D: Disk> Committer<D> {
    /// Begins to add to a file, whose octets so far are durable already. The caller sees to it that
    /// nobody else changes it until this is over. `records` is on the same file system.
    ///
    /// # Errors
    /// Of the kind `Other` where nobody must add to the file before the next start.
    pub(crate) fn extend(&self, spot: &Spot<D>, records: &D::Folder, before: Standing) -> io::Result<Extension<D>> {
        let file = self.disk().open(spot, before.octets)?;
        let record = Spot::new(records, Record::of(before).print());
        let extension = Extension { file, record, before };
        let linked = self.commit(vec![Change::Link { from: spot.clone(), to: extension.record.clone() }]);
        match linked {
            Ok(_) => Ok(extension),
            Err(error) => match self.disk().remove(&extension.record) {
                Err(worse) if worse.kind() != io::ErrorKind::NotFound => Err(io::Error::other("an undo record can't be removed")),
                _ => Err(error),
            },
        }
    }

    /// Makes what was added durable.
    pub(crate) fn settle(&self, extension: &Extension<D>) -> io::Result<()> {
        self.disk().sync_file(&extension.file)?;
        self.forget(extension)
    }

    /// Takes back what was added, durably.
    pub(crate) fn cut_back(&self, extension: &Extension<D>) -> io::Result<()> {
        self.disk().cut(&extension.file, extension.before.octets, extension.before.modified)?;
        self.settle(extension)
    }

    fn forget(&self, extension: &Extension<D>) -> io::Result<()> {
        self.commit(vec![Change::Remove(extension.record.clone())]).map(drop)
    }
}

/// Cuts back what a dead process was adding to. `names` are those in the folder of records.
/// Before anything else is done with the files.
pub(crate) fn recover<D: Disk>(disk: &D, records: &D::Folder, names: Vec<OsString>) -> io::Result<usize> {
    let found: Vec<(Record, Spot<D>)> =
        names.into_iter().filter_map(|name| Some((Record::parse(&name)?, Spot::new(records, name)))).collect();
    for (Record { before, .. }, spot) in &found {
        let file = disk.open(spot, before.octets)?;
        disk.cut(&file, before.octets, before.modified)?;
        disk.sync_file(&file)?;
    }
    for (_, spot) in &found {
        disk.remove(spot)?;
    }
    if !found.is_empty() {
        disk.sync_folder(records)?;
    }
    Ok(found.len())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::UNIX_EPOCH};

    use super::*;
    use crate::store::commit::{PowerCutDisk, Taken, Temporary};

    const TREE: u64 = 1;
    const RECORDS: u64 = 2;

    fn standing(octets: usize) -> Standing {
        Standing { octets: octets as u64, modified: UNIX_EPOCH }
    }

    fn add(commits: &Committer<PowerCutDisk>, from: usize, text: &[u8]) -> io::Result<Extension<PowerCutDisk>> {
        let mut extension = commits.extend(&Spot::new(&TREE, "file"), &RECORDS, standing(from))?;
        for piece in text.chunks(3) {
            extension.write_all(piece)?;
        }
        Ok(extension)
    }

    /// A file, an addition that is acknowledged, one that is taken back, one more, a rename. Notes
    /// what must be there from now on.
    fn story(disk: &PowerCutDisk, acknowledged: &mut Vec<&'static str>) -> io::Result<()> {
        let commits = Committer::new(disk.clone(), TREE);
        let mut temporary = Temporary::beside(disk, &TREE, 0o600)?;
        temporary.write_all(b"old ")?;
        commits.commit(vec![Change::Place { temporary, to: Spot::new(&TREE, "file"), taken: Taken::Replace }])?;
        acknowledged.push("old ");
        commits.settle(&add(&commits, 4, b"first ")?)?;
        acknowledged.push("old first ");
        commits.cut_back(&add(&commits, 10, b"taken back")?)?;
        commits.settle(&add(&commits, 10, b"second")?)?;
        acknowledged.push("old first second");
        let renamed = add(&commits, 16, b" and more")?;
        commits.commit(vec![Change::Move { from: Spot::new(&TREE, "file"), to: Spot::new(&TREE, "moved") }])?;
        drop(renamed);
        Ok(())
    }

    fn content(files: &BTreeMap<(u64, String), Vec<u8>>) -> Option<&str> {
        let file = files.get(&(TREE, "file".into())).or_else(|| files.get(&(TREE, "moved".into())))?;
        Some(std::str::from_utf8(file).unwrap())
    }

    fn recovered(disk: &PowerCutDisk) -> BTreeMap<(u64, String), Vec<u8>> {
        let records = disk.files().into_keys().filter(|(folder, _)| *folder == RECORDS).map(|(_, name)| name.into());
        recover(disk, &RECORDS, records.collect()).unwrap();
        let files = disk.files();
        assert!(files.keys().all(|(folder, _)| *folder != RECORDS), "records are gone: {files:?}");
        files
    }

    #[test]
    fn a_power_cut_at_any_step_leaves_what_was_acknowledged_and_nothing_more() {
        let whole = PowerCutDisk::default();
        story(&whole, &mut Vec::new()).unwrap();
        for cut in 0..=whole.steps() {
            let disk = PowerCutDisk::default();
            disk.cut_before(cut);
            let mut acknowledged = Vec::new();
            let _ = story(&disk, &mut acknowledged);
            for luck in 0..60 {
                let files = recovered(&disk.restarted(luck));
                let (found, at) = (content(&files), format!("cut before step {cut}, luck {luck}, after {acknowledged:?}"));
                let Some(last) = acknowledged.last() else { continue };
                let next = ["old ", "old first ", "old first second"].into_iter().find(|text| text.len() > last.len());
                assert!(found == Some(last) || found.is_some() && found == next, "{at}: {found:?}");
            }
        }
    }

    #[test]
    fn a_power_cut_during_the_recovery_is_recovered_from() {
        for cut in 0..12 {
            let disk = PowerCutDisk::default();
            story(&disk, &mut Vec::new()).unwrap();
            let second = disk.restarted(1);
            second.cut_before(cut);
            let records: Vec<_> =
                second.files().into_keys().filter(|(folder, _)| *folder == RECORDS).map(|(_, name)| name.into()).collect();
            let _ = recover(&second, &RECORDS, records);
            for luck in 0..20 {
                assert_eq!(content(&recovered(&second.restarted(luck))), Some("old first second"), "cut before step {cut}");
            }
        }
    }

    #[test]
    fn a_failed_sync_is_told() {
        let whole = PowerCutDisk::default();
        story(&whole, &mut Vec::new()).unwrap();
        for step in 0..whole.steps() {
            let disk = PowerCutDisk::default();
            disk.break_sync(step);
            let mut acknowledged = Vec::new();
            let failed = story(&disk, &mut acknowledged).is_err();
            let is_sync = disk.steps_after(step).first().is_some_and(|step| step.starts_with("sync"));
            assert_eq!(failed, is_sync, "step {step}: {:?}", disk.steps_after(0));
        }
    }
}
