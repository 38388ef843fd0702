//! Reads records and prints them, until there is a reason to end.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::bail;
use dohle_admin::client::{self, is_retriable};
use dohle_admin::{Cluster, list_topics};
use kacrab::common::TopicPartition;
use kacrab::consumer::{Consumer, ConsumerError, ConsumerRecord};
use regex::Regex;

use super::settings::{ConsumerSettings, From, What};
use crate::client::{Interrupts, check_read, near, unreadable};
use crate::options::usage;

/// How long one poll may take when nothing limits it.
const POLL: Duration = Duration::from_secs(3600);
/// How long no record may arrive before the partitions are checked, and errors are reported.
const QUIET: Duration = Duration::from_secs(5);
/// Between two attempts after an error that passes.
const BACKOFF: Duration = Duration::from_millis(100);
/// How long a consumer may take to leave its group.
const GOODBYE: Duration = Duration::from_secs(10);

/// Reports a topic that does not exist yet, and rejects a partition that the topic does not have.
pub(super) async fn check_topic(
    cluster: &Cluster,
    settings: &ConsumerSettings,
) -> anyhow::Result<()> {
    let topic = match &settings.what {
        What::Topic(topic) | What::Partition(topic, ..) => topic,
        What::Include(pattern) => {
            let regex = whole(pattern)?;
            let all = list_topics(cluster).await?;
            if !all.iter().any(|topic| regex.is_match(&topic.name)) {
                eprintln!("No topic's name matches {pattern} yet; waiting for one.");
            }
            return Ok(());
        }
    };
    match (client::find(cluster, topic, false).await?, &settings.what) {
        (Some(found), What::Partition(_, partition, _)) => {
            if !(0..found.partitions).contains(partition) {
                bail!(
                    "Topic '{topic}' has {} partition(s), numbered from 0; there is no partition \
                     {partition}",
                    found.partitions
                );
            }
            Ok(())
        }
        (Some(_), _) => Ok(()),
        (None, _) => {
            let meant = match near(cluster, topic).await {
                Some(near) => format!(" Did you mean {near}?"),
                None => String::new(),
            };
            eprintln!("Topic '{topic}' does not exist yet; waiting for it.{meant}");
            Ok(())
        }
    }
}

/// The pattern, for whole names as Java's consumer takes it.
fn whole(pattern: &str) -> anyhow::Result<Regex> {
    match Regex::new(&format!("^(?:{pattern})$")) {
        Ok(regex) => Ok(regex),
        Err(error) => Ok(usage(format!(
            "{pattern} is not a regular expression: {error}"
        ))?),
    }
}

/// Why reading ended.
enum ConsumeEnd {
    /// All requested messages were printed, or the reader has closed standard output.
    Done,
    /// No record arrived within the timeout.
    Timeout,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

/// Reads and prints records, leaves the group, and prints how many messages there were.
pub(super) async fn run(cluster: &Cluster, settings: &ConsumerSettings) -> anyhow::Result<()> {
    let mut consumer = client::consumer(cluster, &settings.consumer).await?;
    let mut interrupts = Interrupts::new()?;
    let mut reader = MessagePrinter {
        cluster,
        settings,
        processed: 0,
        unread: BTreeMap::new(),
        out: Vec::with_capacity(64 << 10),
    };
    let result = match subscribe(&mut consumer, settings, &mut interrupts).await {
        Ok(true) => reader.read(&mut consumer, &mut interrupts).await,
        Ok(false) => Ok(ConsumeEnd::Interrupted),
        Err(error) => Err(error),
    };
    let unread = std::mem::take(&mut reader.unread);
    leave(consumer, settings, unread, &mut interrupts).await;
    eprintln!("Processed a total of {} messages", reader.processed);
    result.map(drop)
}

/// Whether there is something to read now; `false` when a signal came first.
async fn subscribe(
    consumer: &mut Consumer,
    settings: &ConsumerSettings,
    interrupts: &mut Interrupts,
) -> anyhow::Result<bool> {
    match &settings.what {
        What::Topic(topic) => consumer.subscribe([topic.clone()])?,
        What::Include(pattern) => consumer.subscribe_pattern(whole(pattern)?.as_str())?,
        What::Partition(topic, partition, from) => {
            let partition = TopicPartition::new(topic.clone(), *partition);
            consumer.assign([partition.clone()])?;
            let until = settings.timeout.map(|timeout| Instant::now() + timeout);
            let mut report = ErrorReport::new();
            loop {
                let sought = tokio::select! {
                    sought = seek(consumer, &partition, *from) => sought,
                    () = interrupts.next() => return Ok(false),
                };
                match sought {
                    Err(error)
                        if is_retriable(&error) && until.is_none_or(|u| Instant::now() < u) =>
                    {
                        report.on_error(&error);
                        tokio::time::sleep(BACKOFF).await;
                    }
                    sought => break sought?,
                }
            }
        }
    }
    Ok(true)
}

async fn seek(
    consumer: &mut Consumer,
    partition: &TopicPartition,
    from: From,
) -> Result<(), ConsumerError> {
    let one = std::slice::from_ref(partition);
    match from {
        From::Earliest => consumer.seek_to_beginning(one).await,
        From::Latest => consumer.seek_to_end(one).await,
        From::Offset(offset) => consumer.seek(partition, offset),
        From::BeforeEnd(count) => {
            let end = consumer.end_offsets(one).await?.get(partition).copied();
            let begin = consumer
                .beginning_offsets(one)
                .await?
                .get(partition)
                .copied();
            let offset = end.unwrap_or(0).saturating_sub(count);
            consumer.seek(partition, offset.max(begin.unwrap_or(0)))
        }
    }
}

/// Commits what was read and leaves the group.
async fn leave(
    mut consumer: Consumer,
    settings: &ConsumerSettings,
    unread: BTreeMap<TopicPartition, i64>,
    interrupts: &mut Interrupts,
) {
    for (partition, offset) in unread {
        // A partition that was revoked meanwhile is read by another member.
        let _ = consumer.seek(&partition, offset);
    }
    let goodbye = async {
        if settings.auto_commit() && !consumer.assignment().is_empty() {
            match tokio::time::timeout(GOODBYE, consumer.commit_sync()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => eprintln!("The offsets could not be committed: {error}"),
                Err(_) => eprintln!("The offsets could not be committed in time"),
            }
        }
        consumer.close_timeout(GOODBYE).await;
    };
    tokio::select! {
        () = goodbye => {}
        () = interrupts.next() => {}
    }
}

/// Reports an error that is retried: once, and not right after the start or a record, when such
/// errors are expected.
struct ErrorReport {
    last_record: Instant,
    reported: bool,
}

impl ErrorReport {
    fn new() -> Self {
        Self {
            last_record: Instant::now(),
            reported: false,
        }
    }

    fn on_error(&mut self, error: &ConsumerError) {
        if !self.reported && self.last_record.elapsed() > QUIET {
            self.reported = true;
            eprintln!("Retrying after an error: {error}");
        }
    }
}

struct MessagePrinter<'a> {
    cluster: &'a Cluster,
    settings: &'a ConsumerSettings,
    processed: u64,
    /// Where each partition's first record is that was fetched but not printed.
    unread: BTreeMap<TopicPartition, i64>,
    out: Vec<u8>,
}

impl MessagePrinter<'_> {
    async fn read(
        &mut self,
        consumer: &mut Consumer,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<ConsumeEnd> {
        let mut report = ErrorReport::new();
        // The error of the last poll, and what the last check has found.
        let mut failing: Option<ConsumerError> = None;
        let mut unread: Option<String> = None;
        let mut checked = false;
        while self
            .settings
            .messages_max
            .is_none_or(|max| self.processed < max)
        {
            let quiet = report.last_record.elapsed();
            let wait = match self.settings.timeout {
                None => POLL,
                Some(timeout) => match timeout.checked_sub(quiet) {
                    Some(left) => left,
                    None => return self.end_at_timeout(consumer, failing).await,
                },
            };
            if !checked && quiet >= QUIET {
                checked = true;
                unread = tokio::select! {
                    unread = unreadable(self.cluster, consumer) => unread,
                    () = interrupts.next() => return Ok(ConsumeEnd::Interrupted),
                };
                if let Some(unread) = &unread {
                    eprintln!("{unread}");
                }
            }
            let wait = match checked {
                true => wait,
                false => wait.min(QUIET.saturating_sub(quiet)),
            };
            let polled = tokio::select! {
                polled = consumer.poll(wait) => polled,
                () = interrupts.next() => {
                    return unread.map_or(Ok(ConsumeEnd::Interrupted), |unread| bail!(unread));
                }
            };
            match polled {
                Ok(records) => {
                    failing = None;
                    if !records.is_empty() {
                        report = ErrorReport::new();
                        (checked, unread) = (false, None);
                    }
                    let printed = self.print(records.iter()).await;
                    if self.write().await? {
                        eprintln!("Unable to write to standard out, closing consumer.");
                        return Ok(ConsumeEnd::Done);
                    }
                    printed?;
                }
                Err(error) if is_retriable(&error) => {
                    report.on_error(&error);
                    failing = Some(error);
                    tokio::time::sleep(BACKOFF).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ConsumeEnd::Done)
    }

    /// Ends because no record has arrived for the timeout: without an error when there was nothing
    /// to read.
    async fn end_at_timeout(
        &mut self,
        consumer: &mut Consumer,
        failing: Option<ConsumerError>,
    ) -> anyhow::Result<ConsumeEnd> {
        if let (Some(error), true) = (failing, consumer.assignment().is_empty()) {
            return Err(error.into());
        }
        let committed = self.settings.consumer.reads_committed();
        let arrived = check_read(self.cluster, consumer, committed).await?;
        for (partition, offset) in arrived {
            self.unread.entry(partition).or_insert(offset);
        }
        Ok(ConsumeEnd::Timeout)
    }

    /// Appends the text of these records, and notes the first offsets of those beyond the limit.
    async fn print<'r>(
        &mut self,
        records: impl Iterator<Item = &'r ConsumerRecord>,
    ) -> anyhow::Result<()> {
        let mut wrong = None;
        for record in records {
            let full = self
                .settings
                .messages_max
                .is_some_and(|max| self.processed >= max);
            if full || wrong.is_some() {
                let unread = self.unread.entry(record.topic_partition());
                unread.or_insert(record.offset);
                continue;
            }
            self.processed += 1;
            if let Some(line) = self.settings.formatter.log_line(record) {
                eprintln!("{line}");
            }
            if let Err(error) = self.settings.formatter.format(record, &mut self.out) {
                let at = format!("{}-{}@{}", record.topic, record.partition, record.offset);
                if self.settings.skip_message_on_error {
                    eprintln!("Error processing message {at}, skipping this message: {error}");
                } else {
                    wrong = Some(error.context(format!(
                        "Error processing message {at} (--skip-message-on-error continues after it)"
                    )));
                }
            }
        }
        wrong.map_or(Ok(()), Err)
    }

    /// Writes what has been appended, away from the thread that keeps the group's session alive.
    /// Returns whether the reader has closed standard output.
    async fn write(&mut self) -> anyhow::Result<bool> {
        if self.out.is_empty() {
            return Ok(false);
        }
        let out = std::mem::take(&mut self.out);
        let writing = tokio::task::spawn_blocking(move || {
            let mut stdout = io::stdout().lock();
            let written = stdout.write_all(&out).and_then(|()| stdout.flush());
            (out, written)
        });
        let (mut out, written) = writing.await?;
        out.clear();
        self.out = out;
        match written {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}
