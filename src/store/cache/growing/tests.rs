//! One writes, others read along.

use super::*;

fn begin(length: Option<u64>, limit: u64) -> Writer {
    Growing::begin(length, Bounds { whole: limit, memory: limit }, &Room::new(1 << 24), None)
}

async fn read(mut reader: Reader) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    loop {
        match reader.next().await {
            Next::Piece(piece) => all.extend_from_slice(&piece),
            Next::File(file, range) => {
                let from = all.len();
                all.resize(from + usize::try_from(range.end - range.start).unwrap(), 0);
                std::os::unix::fs::FileExt::read_exact_at(&*file, &mut all[from..], range.start).unwrap();
            }
            end => return (all, matches!(end, Next::Whole)),
        }
    }
}

#[tokio::test]
async fn readers_get_all_wherever_they_begin() {
    let mut writer = begin(None, 1 << 24);
    let growing = writer.growing().clone();
    let early = tokio::spawn(read(growing.join(0).unwrap()));
    let mut sent = Vec::new();
    for number in 0..200_usize {
        let piece = vec![u8::try_from(number).unwrap(); number * number];
        sent.extend_from_slice(&piece);
        writer.push(piece.into()).await.unwrap();
    }
    let late = growing.join(1000).unwrap();
    assert_eq!(growing.octets(), None);
    assert_eq!(writer.body().await.unwrap().whole().unwrap(), &sent);
    writer.finish();
    assert_eq!(growing.octets(), Some(sent.len() as u64));
    assert_eq!(early.await.unwrap(), (sent.clone(), true));
    assert_eq!(read(late).await, (sent[1000..].to_vec(), true));
}

#[tokio::test]
async fn a_long_body_goes_to_a_file_and_is_read_along_there() {
    let folder = tempfile::tempdir().unwrap();
    let spooler = Spooler { folder: folder.path().into(), head_octets: 4096 };
    let mut writer = Growing::begin(None, Bounds { whole: 1 << 30, memory: 100_000 }, &Room::new(1 << 20), Some(spooler));
    let growing = writer.growing().clone();
    let early = tokio::spawn(read(growing.join(0).unwrap()));
    let mut sent = Vec::new();
    for number in 0..300_u32 {
        let piece: Vec<u8> = (0..number * 50).map(|at| (at ^ number) as u8).collect();
        sent.extend_from_slice(&piece);
        writer.push(piece.into()).await.unwrap();
        assert!(growing.lock().blocks.iter().map(|(_, block)| block.len()).sum::<usize>() < 300_000, "it holds little");
    }
    let late = growing.join(700_000).unwrap();
    let Some(Body::File(filed)) = writer.body().await else { panic!("it is long") };
    writer.finish();
    assert_eq!(filed.read().unwrap(), sent);
    assert!(early.await.unwrap() == (sent.clone(), true) && read(late).await == (sent[700_000..].to_vec(), true));
    drop(filed);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "what is not stored leaves nothing behind");
}

#[tokio::test]
async fn a_body_is_cut_where_its_writer_goes_or_it_is_too_short() {
    let mut writer = begin(Some(10), 1 << 20);
    let reader = writer.growing().join(0).unwrap();
    writer.push(Bytes::from_static(b"abc")).await.unwrap();
    drop(writer);
    assert_eq!(read(reader).await, (b"abc".to_vec(), false));
    let mut writer = begin(Some(10), 1 << 20);
    let reader = writer.growing().join(0).unwrap();
    assert!(writer.body().await.is_none());
    writer.finish();
    assert_eq!(read(reader).await, (Vec::new(), false));
}

#[tokio::test(start_paused = true)]
async fn too_large_a_body_waits_for_its_slowest_reader_and_holds_little() {
    let mut writer = begin(None, 1000);
    let growing = writer.growing().clone();
    let (mut slow, fast) = (growing.join(0).unwrap(), tokio::spawn(read(growing.join(0).unwrap())));
    let piece = || Bytes::from(vec![7; 50_000]);
    for _ in 0..2 {
        writer.push(piece()).await.unwrap();
    }
    let waiting = tokio::time::timeout(std::time::Duration::from_secs(1), writer.push(piece())).await;
    assert!(waiting.is_err(), "it waits for the slow one");
    for _ in 0..2 {
        assert!(matches!(slow.next().await, Next::Piece(_)));
    }
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), writer.push(piece())).await.is_ok_and(|pushed| pushed.is_ok()));
    assert!(writer.body().await.is_none(), "nothing to be stored");
    assert!(growing.join(0).is_none(), "the beginning is gone");
    let rest = tokio::spawn(read(slow));
    writer.push(piece()).await.unwrap();
    writer.finish();
    assert_eq!(fast.await.unwrap().0.len(), 250_000);
    assert_eq!(rest.await.unwrap(), (vec![7; 150_000], true));
}

#[tokio::test]
async fn a_fetch_is_given_up_when_nobody_reads_unless_it_is_nearly_whole() {
    for (length, is_given_up) in [(Some(10_000_000), true), (None, true), (Some(1_000_000), false)] {
        let mut writer = begin(length, 1 << 30);
        drop(writer.growing().join(0));
        assert_eq!(writer.push(Bytes::from_static(b"abc")).await.is_err(), is_given_up, "{length:?}");
    }
}
