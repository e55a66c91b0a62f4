//! Messages in the data directory that the catalog does not know of: what a deletion left over, or all that there was
//! before the catalog was emptied or put back from an older copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::partition_dir;
use crate::log::PartitionLog;
use crate::store::{CatalogImage, PartitionKey, StoreError};

/// The directory of a partition that the catalog does not know, with messages in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownPartition {
    pub(crate) dir: PathBuf,
    /// Bytes in its segment files.
    pub(crate) bytes: u64,
    pub(crate) origin: Origin,
}

/// How a directory can be there that the catalog does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The catalog has given its numbers out, so it was deleted, and its files remained.
    Deleted,
    /// The catalog has not given out the number of its stream or topic yet: it is empty or older than the files.
    Ahead,
}

/// The catalog cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// New streams and topics would get the numbers, and so the directories, of those that are there.
    #[error(
        "meta.redb in {} does not know of {partitions} partitions with {bytes} bytes of messages, such as {}: it was emptied or \
         replaced by an older one, and new topics would be written over them; put the right meta.redb back, or move {} away \
         to begin without these messages",
        data_dir.display(), first.display(), data_dir.join("streams").display()
    )]
    Forgotten {
        /// The data directory.
        data_dir: PathBuf,
        /// Directories with messages that new topics would be written over.
        partitions: usize,
        /// Bytes in them.
        bytes: u64,
        /// One of them.
        first: PathBuf,
    },
}

/// Finds the directories with messages that the catalog does not know, in the order of their paths. Blocks on reading
/// directories; what cannot be read is left out.
pub(crate) fn unknown_partitions(data_dir: &Path, catalog: &CatalogImage) -> Vec<UnknownPartition> {
    let known: BTreeSet<PathBuf> = catalog
        .topics
        .iter()
        .flat_map(|topic| {
            let (stream_id, topic_id) = (topic.stream_id, topic.id);
            (0..topic.partitions_count).map(move |partition_id| PartitionKey {
                stream_id,
                topic_id,
                partition_id,
            })
        })
        .map(|key| partition_dir(data_dir, key))
        .collect();
    let next_topic_ids: BTreeMap<u32, u32> =
        catalog.streams.iter().map(|stream| (stream.id, stream.next_topic_id)).collect();
    let mut unknown = Vec::new();
    for dir in partition_directories(data_dir).into_iter().filter(|dir| !known.contains(dir)) {
        let Some((stream_id, topic_id)) = numbers(&dir) else { continue };
        let bytes = PartitionLog::bytes_in(&dir);
        if bytes > 0 {
            let is_ahead = stream_id >= catalog.next_stream_id
                || next_topic_ids.get(&stream_id).is_some_and(|next_topic_id| topic_id >= *next_topic_id);
            let origin = if is_ahead { Origin::Ahead } else { Origin::Deleted };
            unknown.push(UnknownPartition { dir, bytes, origin });
        }
    }
    unknown.sort_by(|a, b| a.dir.cmp(&b.dir));
    unknown
}

/// Goes on only if nothing that is there would be written over. Tells what is left over from deletions.
pub(super) fn require_no_older_catalog(data_dir: &Path, catalog: &CatalogImage) -> Result<(), CatalogError> {
    let unknown = unknown_partitions(data_dir, catalog);
    let (ahead, deleted): (Vec<_>, Vec<_>) =
        unknown.into_iter().partition(|found| found.origin == Origin::Ahead);
    let bytes_of = |found: &[UnknownPartition]| found.iter().map(|found| found.bytes).sum::<u64>();
    if let Some(found) = deleted.first() {
        tracing::warn!(
            partitions = deleted.len(),
            bytes = bytes_of(&deleted),
            first = %found.dir.display(),
            "directories of deleted partitions hold messages; they are left as they are and can be removed"
        );
    }
    match ahead.first() {
        None => Ok(()),
        Some(found) => Err(CatalogError::Forgotten {
            data_dir: data_dir.to_owned(),
            partitions: ahead.len(),
            bytes: bytes_of(&ahead),
            first: found.dir.clone(),
        }),
    }
}

/// Moves messages out of the way of a new partition, whose directory they are in. The catalog does not know them, so
/// nothing else says what they were.
pub(super) fn set_aside(dir: &Path) -> io::Result<()> {
    let bytes = PartitionLog::bytes_in(dir);
    if bytes == 0 {
        return Ok(());
    }
    let mut numbered = (1_u32..).map(|number| dir.with_extension(format!("left-over-{number}")));
    let Some(aside) = numbered.find(|aside| !aside.exists()) else { return Ok(()) };
    fs::rename(dir, &aside)?;
    tracing::warn!(
        bytes,
        dir = %dir.display(),
        moved_to = %aside.display(),
        "the directory of a new partition held messages of a deleted one; they were moved aside and can be removed"
    );
    Ok(())
}

/// The directories that may be those of partitions.
pub(crate) fn partition_directories(data_dir: &Path) -> Vec<PathBuf> {
    directories(&data_dir.join("streams"), 3)
}

/// The directories so many levels below `path`.
fn directories(path: &Path, levels: u32) -> Vec<PathBuf> {
    if levels == 0 {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).into_iter().flatten();
    let inside = entries.filter_map(|entry: io::Result<fs::DirEntry>| entry.ok().map(|entry| entry.path()));
    inside.filter(|path| path.is_dir()).flat_map(|path| directories(&path, levels - 1)).collect()
}

/// The numbers of stream and topic in the path of a partition's directory.
fn numbers(dir: &Path) -> Option<(u32, u32)> {
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let topic = dir.parent()?;
    number(dir)?;
    Some((number(topic.parent()?)?, number(topic)?))
}
