//! WatchMetadata: streams committed batches to one broker. A snapshot comes first when the feed no
//! longer holds the batches after the broker's offset.

use std::sync::Arc;

use dohle_model::image::{MetadataImage, MetadataPosition};
use dohle_model::{MetadataOffset, Uuid};
use dohle_rpc::v1::metadata_event::Event;
use dohle_rpc::{convert, v1};
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Inner;
use crate::feed::Next;

/// The most messages that wait for a slow broker. When they are reached, the stream waits while the
/// feed's ring moves on.
const OUTGOING: usize = 4;

type Outgoing = mpsc::Sender<Result<v1::MetadataEvent, Status>>;

/// The broker has disconnected.
struct Gone;

pub(super) fn serve(
    inner: Arc<Inner>,
    after: MetadataOffset,
    activation: Option<Uuid>,
) -> impl Stream<Item = Result<v1::MetadataEvent, Status>> + Send {
    let (outgoing, events) = mpsc::channel(OUTGOING);
    tokio::spawn(async move {
        // The stream ends when the broker disconnects, or with a final status.
        if let Ok(status) = follow(&inner, after, activation, &outgoing).await {
            drop(outgoing.send(Err(status)).await);
        }
    });
    ReceiverStream::new(events)
}

/// Sends batches until this controller is no longer active or the broker has disconnected.
async fn follow(
    inner: &Inner,
    mut after: MetadataOffset,
    activation: Option<Uuid>,
    outgoing: &Outgoing,
) -> Result<Status, Gone> {
    let mut published = inner.published.clone();
    let mut activity = inner.activity.clone();
    let mut answered = false;
    // A quorum that lost its metadata may have committed other batches at the same offsets.
    let mut diverged = activation.is_some_and(|activation| {
        let image = Arc::clone(&published.borrow().image);
        let position = MetadataPosition {
            offset: after,
            activation,
        };
        after <= image.offset && !image.continues(position)
    });
    loop {
        published.mark_unchanged();
        if !activity.borrow_and_update().active {
            return Ok(inner.not_active());
        }
        let next = match std::mem::take(&mut diverged) {
            true => Next::NeedsSnapshot,
            false => inner.feed.lock().next(after),
        };
        match next {
            Next::NeedsSnapshot => {
                let image = Arc::clone(&published.borrow().image);
                after = image.offset;
                answered = false;
                send_snapshot(&image, outgoing).await?;
            }
            Next::Ahead => {
                return Ok(Status::data_loss(format!(
                    "the broker has metadata up to offset {after}, this quorum only up to {}: the \
                     quorum's metadata was lost or replaced",
                    published.borrow().image.offset
                )));
            }
            Next::Batches(batches) if batches.is_empty() && answered => {
                tokio::select! {
                    changed = published.changed() => {
                        if changed.is_err() {
                            return Ok(inner.not_active());
                        }
                    }
                    changed = activity.changed() => {
                        if changed.is_err() {
                            return Ok(inner.not_active());
                        }
                    }
                    () = outgoing.closed() => return Err(Gone),
                }
            }
            Next::Batches(batches) => {
                let last = batches.last().map(|last| MetadataOffset(last.offset));
                assert!(
                    last.is_none_or(|last| last > after),
                    "batches up to {last:?} are sent to a broker that is at {after}"
                );
                after = last.unwrap_or(after);
                answered = true;
                let batches = batches.iter().map(|batch| v1::CommittedBatch::clone(batch));
                let batches = v1::CommittedBatches {
                    batches: batches.collect(),
                };
                send(outgoing, Event::Batches(batches)).await?;
            }
        }
    }
}

async fn send_snapshot(image: &MetadataImage, outgoing: &Outgoing) -> Result<(), Gone> {
    for chunk in convert::snapshot_chunks(image) {
        send(outgoing, Event::Snapshot(chunk)).await?;
    }
    send(outgoing, Event::SnapshotEnd(true)).await
}

async fn send(outgoing: &Outgoing, event: Event) -> Result<(), Gone> {
    outgoing
        .send(Ok(v1::MetadataEvent { event: Some(event) }))
        .await
        .map_err(|_| Gone)
}
