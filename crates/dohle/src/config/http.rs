//! `http.listeners`, the properties of metrics, and the command line of jmx_exporter's agent. Pure.

use std::path::PathBuf;

use dohle_config::keys::broker as keys;

use super::address::parse_address;
use super::values::PropertyReader;
use super::{ConfigFault, ListenerAddress};

/// The properties of metrics and health over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// `http.listeners`.
    pub listeners: Vec<ListenerAddress>,
    /// `metrics.jmx.rules`.
    pub rules: Option<PathBuf>,
    /// `metrics.topics.max`.
    pub topics_max: usize,
    /// `metrics.groups.max`.
    pub groups_max: usize,
}

/// Reads the properties.
pub(super) fn read(reader: &PropertyReader<'_>) -> Result<HttpConfig, ConfigFault> {
    let key = &keys::HTTP_LISTENERS;
    let address = |item: &str| {
        let invalid =
            |reason: &str| reader.invalid(key, &format!("a list of http://host:port ({reason})"));
        let address = parse_address(item).map_err(|reason| invalid(&reason))?;
        match address.name.as_str() {
            "HTTP" => Ok(address),
            "HTTPS" => Err(invalid("HTTPS is not supported yet")),
            name => Err(invalid(&format!("{name:?} is not http"))),
        }
    };
    let listeners = reader.list(key).map(address).collect::<Result<_, _>>()?;
    Ok(HttpConfig {
        listeners,
        rules: reader.get(&keys::METRICS_JMX_RULES).map(PathBuf::from),
        topics_max: reader.values.read(&keys::METRICS_TOPICS_MAX),
        groups_max: reader.values.read(&keys::METRICS_GROUPS_MAX),
    })
}

/// The variables with options of the JVM that runs Apache Kafka.
pub(super) const JVM_OPTIONS: &[&str] = &["KAFKA_JMX_OPTS", "KAFKA_OPTS"];

/// Returns what the options of a JVM ask of jmx_exporter's agent, as values of `http.listeners` and
/// `metrics.jmx.rules`: `-javaagent:….jar=[host:]port:file`. What the agent could not read becomes
/// a value of `http.listeners` that is refused.
pub(super) fn of_agent(options: &str) -> Option<(String, Option<String>)> {
    let mut agents = options.split_whitespace().filter_map(|option| {
        let (jar, arguments) = option.strip_prefix("-javaagent:")?.split_once('=')?;
        let name = jar.rsplit('/').next()?;
        name.contains("jmx_prometheus_javaagent")
            .then_some(arguments)
    });
    let arguments = agents.next()?;
    let parsed = || {
        // The address may be one of IPv6 in brackets, and the file may contain colons.
        let (host, rest) = match arguments.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once("]:")?;
                (format!("[{address}]"), rest)
            }
            None => match arguments.split_once(':')? {
                (port, _) if port.parse::<u16>().is_ok() => ("0.0.0.0".to_owned(), arguments),
                (host, rest) => (host.to_owned(), rest),
            },
        };
        let (port, file) = rest.split_once(':')?;
        let port = port.parse::<u16>().ok()?;
        (!file.is_empty()).then(|| (format!("http://{host}:{port}"), Some(file.to_owned())))
    };
    Some(parsed().unwrap_or_else(|| (format!("http://{arguments}"), None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_arguments_name_an_address_and_a_file() {
        let agent = |arguments: &str| {
            format!("-Xmx1g -javaagent:/opt/jmx_prometheus_javaagent-0.18.0.jar={arguments} -Da=b")
        };
        let read = |options: &str| {
            let found = of_agent(options);
            found.map(|(at, rules)| format!("{at} {}", rules.as_deref().unwrap_or("-")))
        };
        assert_eq!(read(""), None);
        assert_eq!(
            read("-Xmx1g -Djava.security.auth.login.config=/etc/jaas.conf"),
            None
        );
        assert_eq!(
            read("-javaagent:/opt/opentelemetry-javaagent.jar=1:y"),
            None
        );
        for (arguments, expected) in [
            ("7071:/etc/k.yml", "http://0.0.0.0:7071 /etc/k.yml"),
            (
                "localhost:9404:rules.yaml",
                "http://localhost:9404 rules.yaml",
            ),
            ("10.0.0.1:9404:r", "http://10.0.0.1:9404 r"),
            ("[::1]:9404:/a:b.yaml", "http://[::1]:9404 /a:b.yaml"),
            // What the agent does not understand is refused as an address.
            ("rules.yml", "http://rules.yml -"),
            ("99999:r", "http://99999:r -"),
            ("7071:", "http://7071: -"),
        ] {
            assert_eq!(read(&agent(arguments)).as_deref(), Some(expected));
        }
    }
}
