//! Metrics, health, `/debug` and the console over HTTP: what the node shows to the crate `web`.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use dohle_controller::ControllerMetrics;
use dohle_network::listener::NetworkContext;
use dohle_telemetry::text::{Format, render};
use dohle_telemetry::{Collect as _, Rules, Sample, Scrape, Value, mbeans, native, rules};
pub(super) use dohle_web::Server;
use dohle_web::{Bound, Check, DebugPage, DebugQuery, HttpAddress};
use futures::future::BoxFuture;

use super::Node;
use super::broker::{Broker, BrokerMetrics};
use super::console::Console;
use super::group_metrics::GroupNumbers;
use crate::config::NodeConfig;
use crate::health;

/// How long a check of the node's health may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(4);

/// A port that is bound, and the rules that name the metrics.
pub(super) struct Prepared {
    bound: Bound,
    rules: Rules,
}

/// Reads the rules and binds the addresses; `None` without `http.listeners`.
///
/// # Errors
/// When the rules have a mistake, or an address cannot be bound. An address that is only a default
/// and cannot be bound is logged.
pub(super) async fn prepare(config: &NodeConfig) -> anyhow::Result<Option<Prepared>> {
    let http = &config.http;
    let rules = read_rules(config)?;
    let addresses = http.listeners.iter().map(|address| HttpAddress {
        host: match address.host.as_str() {
            "" => "0.0.0.0".to_owned(),
            host => host.to_owned(),
        },
        port: address.port,
    });
    let addresses: Vec<HttpAddress> = addresses.collect();
    if addresses.is_empty() {
        return Ok(None);
    }
    match Bound::bind(&addresses).await {
        Ok(bound) => Ok(Some(Prepared { bound, rules })),
        Err(error) if config.completed.contains("http.listeners") => {
            tracing::warn!(node = %config.node_id, "no metrics and health over HTTP: {error}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads the rule file, or the default rules.
fn read_rules(config: &NodeConfig) -> anyhow::Result<Rules> {
    let Some(path) = &config.http.rules else {
        return parse(rules::DEFAULT, None, config).context("the default rules");
    };
    let bytes = std::fs::read(path);
    let bytes = bytes.with_context(|| {
        format!(
            "metrics.jmx.rules: read {}; correct the path, or remove it for the default names",
            path.display()
        )
    })?;
    let text = String::from_utf8(bytes);
    let text =
        text.with_context(|| format!("metrics.jmx.rules: {} is not UTF-8", path.display()))?;
    parse(&text, Some(path), config)
        .with_context(|| format!("metrics.jmx.rules: {}", path.display()))
}

fn parse(text: &str, path: Option<&Path>, config: &NodeConfig) -> anyhow::Result<Rules> {
    let (rules, warnings) = Rules::parse(text)?;
    if let Some(path) = path {
        for rules::Warning(warning) in warnings {
            tracing::warn!(node = %config.node_id, "{}: {warning}", path.display());
        }
    }
    Ok(rules)
}

impl Prepared {
    /// Serves the node on the current runtime.
    pub(super) fn serve(self, config: &NodeConfig, node: &mut Node) -> Server {
        for address in self.bound.addresses() {
            tracing::info!(
                node = %config.node_id, "metrics at http://{address}/metrics, console at \
                 http://{address}/"
            );
        }
        let controller = node.controller.as_ref();
        let metrics = node.broker.as_mut().and_then(Broker::take_metrics);
        let replicas = metrics.as_ref().map(|broker| broker.replicas.clone());
        let console = Console::new(config, replicas);
        let node = Observed {
            config: config.clone(),
            rules: self.rules,
            started: SystemTime::now(),
            network: Arc::downgrade(&node.shared),
            controller: controller.map(|controller| controller.metrics(config)),
            broker: metrics,
        };
        let one_at_a_time = tokio::sync::Mutex::new(());
        let console = Arc::new(console);
        let node = Arc::new(HttpNode {
            node: Arc::new(node),
            one_at_a_time,
        });
        self.bound.serve(node, console)
    }
}

struct HttpNode {
    node: Arc<Observed>,
    /// Bounds the work of scrapes.
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl dohle_web::Node for HttpNode {
    fn metrics(&self, format: Format) -> BoxFuture<'_, String> {
        Box::pin(async move {
            let _turn = self.one_at_a_time.lock().await;
            let began = Instant::now();
            let groups = match &self.node.broker {
                Some(broker) => Some(broker.groups.numbers().await),
                None => None,
            };
            let node = Arc::clone(&self.node);
            // Off the threads for control work: there may be many partitions.
            let text = tokio::task::spawn_blocking(move || node.render(groups, began, format));
            text.await.unwrap_or_default()
        })
    }

    fn debug(
        &self,
        page: DebugPage,
        query: DebugQuery,
    ) -> BoxFuture<'_, Option<serde_json::Value>> {
        Box::pin(async move {
            let broker = self.node.broker.as_ref()?;
            Some(broker.debug.page(page, query).await)
        })
    }

    fn check(&self, check: Check) -> BoxFuture<'_, Result<String, String>> {
        let node = Arc::clone(&self.node);
        Box::pin(async move {
            let check = tokio::task::spawn_blocking(move || {
                health::check(&node.config, check == Check::Ready, CHECK_TIMEOUT)
            });
            match check.await {
                Ok(checked) => checked.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

/// What a node shows.
struct Observed {
    config: NodeConfig,
    rules: Rules,
    started: SystemTime,
    /// Weak: the last reference joins the network threads.
    network: Weak<NetworkContext>,
    broker: Option<BrokerMetrics>,
    controller: Option<ControllerMetrics>,
}

impl Observed {
    fn render(&self, groups: Option<GroupNumbers>, began: Instant, format: Format) -> String {
        let mut scrape = Scrape::new(&self.rules);
        let mut out = |sample: Sample<'_>| scrape.add(sample);
        if let Some(broker) = &self.broker {
            broker.replicas.collect(&mut out);
            broker.kafka.collect(&mut out);
        }
        if let Some(groups) = groups {
            groups.collect(&mut out);
        }
        if let Some(controller) = &self.controller {
            controller.collect(&mut out);
        }
        if let Some(network) = self.network.upgrade() {
            network.collect(&mut out);
        }
        self.app_info(&mut out);
        process(self.started, &mut out);
        let families = scrape.finish(began.elapsed().as_secs_f64());
        render(&families, format)
    }

    fn app_info(&self, out: &mut dyn FnMut(Sample<'_>)) {
        let id = self.config.node_id.to_string();
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = i64::try_from(started.as_millis()).unwrap_or(i64::MAX);
        for (attribute, value) in [
            ("start-time-ms", Value::Long(started)),
            ("version", Value::Text(env!("CARGO_PKG_VERSION"))),
        ] {
            let (bean, keys) = (&mbeans::APP_INFO, &[id.as_str()][..]);
            out(Sample::Attribute {
                bean,
                keys,
                attribute,
                value,
            });
        }
    }
}

/// Numbers of the process, as far as the system reports them.
fn process(started: SystemTime, out: &mut dyn FnMut(Sample<'_>)) {
    let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
    for (metric, value) in [
        (&native::CPU_SECONDS, cpu_seconds(&stat)),
        (
            &native::MAX_FDS,
            Some(dohle_log::descriptors::limit() as f64),
        ),
        // The directory itself is open while it is read.
        (
            &native::OPEN_FDS,
            open.ok().map(|count| count.saturating_sub(1) as f64),
        ),
        (&native::RESIDENT_BYTES, resident_bytes(&status)),
        (&native::START_TIME, Some(started.as_secs_f64())),
    ] {
        if let Some(value) = value {
            out(Sample::Native {
                metric,
                labels: &[],
                value,
            });
        }
    }
}

/// Returns the CPU time in the text of `/proc/self/stat`. Linux counts it in hundredths of a second
/// for programs, on all its architectures but Alpha and IA-64.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The name of the program is in parentheses and may contain spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11);
    let mut next = || ticks.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / 100.0)
}

/// Returns the resident memory in the text of `/proc/self/status`.
fn resident_bytes(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes = line.split_whitespace().next()?.parse::<f64>().ok()?;
    Some(kibibytes * 1024.0)
}

#[cfg(test)]
#[path = "http_tests.rs"]
pub(super) mod tests;
