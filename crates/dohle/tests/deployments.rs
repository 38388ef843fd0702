//! Tests of the files in `deploy/`: the image reads their variables, and the resulting nodes form
//! the clusters that the files describe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dohle::config::{NodeConfig, Sources, image, notices, open_listener_warnings};
use dohle_tls::ClientAuth;
use expect_test::{Expect, expect};
use yaml_rust2::{Yaml, YamlLoader};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents(name: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&read(name)).unwrap()
}

/// Returns a plain value as text.
fn text(value: &Yaml) -> String {
    match value {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        other => panic!("{other:?} is no plain value"),
    }
}

/// Variables of a service: a map, or a list of NAME=VALUE.
fn variables(service: &Yaml) -> Vec<(String, String)> {
    match &service["environment"] {
        Yaml::Hash(map) => map
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
        Yaml::Array(list) => {
            let pairs = list.iter().map(|item| {
                let item = text(item);
                let (name, value) = item.split_once('=').expect("NAME=VALUE");
                (name.to_owned(), value.to_owned())
            });
            pairs.collect()
        }
        other => panic!("{other:?} is no environment"),
    }
}

/// Returns the configuration of a container with these variables and mounts.
fn node(variables: &[(String, String)], mounts: &[String], hostname: &str) -> NodeConfig {
    let mut sources = Sources::default();
    sources.add_environment(variables.iter().cloned());
    let read = &|path: &str| match path {
        "/run/secrets/password" => Ok("secret\n".to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    sources.complete_voters(variables, read).unwrap();
    sources.complete_for_image(variables, image::data_folder(mounts, |_| false));
    let secured = sources.complete_security(variables, read);
    secured.unwrap_or_else(|fault| panic!("{fault}"));
    let config = NodeConfig::new(sources, hostname).unwrap_or_else(|fault| panic!("{fault}"));
    for notice in notices(&config) {
        assert!(!notice.contains("unknown property"), "{notice}");
    }
    config
}

fn told(config: &NodeConfig, mounts: &[String]) -> String {
    let advertised: Vec<String> = config
        .listeners
        .advertised
        .iter()
        .map(ToString::to_string)
        .collect();
    let folder = &config.log_dirs[0];
    let kept = mounts.iter().any(|mount| folder.starts_with(mount));
    assert!(kept, "{} is in no volume of {mounts:?}", folder.display());
    let roles = match (config.roles.broker, config.roles.controller) {
        (true, true) => "combined",
        (true, false) => "broker",
        _ => "controller",
    };
    format!(
        "{roles} {} of {} at {}, {} voters, data in {}\n",
        config.node_id,
        config
            .cluster_id
            .as_deref()
            .unwrap_or("the default cluster"),
        advertised.join(","),
        config.voters.len(),
        folder.display()
    )
}

/// Checks all services of a compose file: their nodes, and that each port advertised on localhost
/// is one that the container publishes under the same number.
#[track_caller]
fn check_compose(name: &str, expected: Expect) -> Vec<NodeConfig> {
    let document = &documents(name)[0];
    let mut summary = String::new();
    let mut configs = Vec::new();
    for (service_name, service) in document["services"].as_hash().unwrap() {
        let hostname = service["hostname"]
            .as_str()
            .or_else(|| service_name.as_str());
        let mounts: Vec<String> = service["volumes"]
            .as_vec()
            .unwrap()
            .iter()
            .map(|volume| text(volume).split_once(':').unwrap().1.to_owned())
            .collect();
        assert_eq!(text(&service["image"]), "${DOHLE_IMAGE:-dohle:latest}");
        let config = node(&variables(service), &mounts, hostname.unwrap());
        let published: Vec<String> = service["ports"]
            .as_vec()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        for address in &config.listeners.advertised {
            if address.host == "localhost" {
                let bound = config
                    .listeners
                    .broker
                    .iter()
                    .find(|l| l.name == address.name);
                let port = format!("{}:{}", address.port, bound.unwrap().port);
                assert!(published.contains(&port), "{port} is not in {published:?}");
            }
        }
        summary += &told(&config, &mounts);
        configs.push(config);
    }
    expected.assert_eq(&summary);
    configs
}

#[test]
fn three_nodes_come_up_from_our_own_compose_file() {
    check_compose(
        "compose/compose.yaml",
        expect![[r#"
            combined 1 of gQ5xjZ0mTnqkFOlX8GxR3A at PLAINTEXT://dohle-1:9092,HOST://localhost:19092, 3 voters, data in /var/lib/kafka/data
            combined 2 of gQ5xjZ0mTnqkFOlX8GxR3A at PLAINTEXT://dohle-2:9092,HOST://localhost:19093, 3 voters, data in /var/lib/kafka/data
            combined 3 of gQ5xjZ0mTnqkFOlX8GxR3A at PLAINTEXT://dohle-3:9092,HOST://localhost:19094, 3 voters, data in /var/lib/kafka/data
        "#]],
    );
}

/// Checks that no listener of a node lets in everyone, and that nodes trust no client.
#[track_caller]
fn check_secured(config: &NodeConfig) {
    let open = open_listener_warnings(config);
    assert!(open.is_empty(), "{open:?}");
    let users = config.first_users.iter();
    let users: Vec<(&str, &str)> = users
        .map(|user| (user.name.as_str(), user.password.expose()))
        .collect();
    assert_eq!(users, [("admin", "secret")]);
    for name in ["NODES", "CONTROLLER"] {
        assert_eq!(config.tls[name].client_auth, ClientAuth::Required, "{name}");
    }
    assert!(config.authorizer.is_some());
}

#[test]
fn three_nodes_come_up_with_tls_and_passwords() {
    let configs = check_compose(
        "compose/secure.yaml",
        expect![[r#"
        combined 1 of 3VdrZ8cxSvWkhxQYqYIvTw at CLIENTS://dohle-1:9092,NODES://dohle-1:9094,HOST://localhost:19092, 3 voters, data in /var/lib/kafka/data
        combined 2 of 3VdrZ8cxSvWkhxQYqYIvTw at CLIENTS://dohle-2:9092,NODES://dohle-2:9094,HOST://localhost:19093, 3 voters, data in /var/lib/kafka/data
        combined 3 of 3VdrZ8cxSvWkhxQYqYIvTw at CLIENTS://dohle-3:9092,NODES://dohle-3:9094,HOST://localhost:19094, 3 voters, data in /var/lib/kafka/data
    "#]],
    );
    configs.iter().for_each(check_secured);
}

#[test]
fn pods_come_up_with_tls_and_the_password_of_a_secret() {
    let documents = documents("kubernetes/secure.yaml");
    let mounts = ["/var/lib/kafka".to_owned()];
    let mut summary = String::new();
    for ordinal in 0..3 {
        let config = node(&pod_variables(&documents, ordinal), &mounts, "dohle-0");
        check_secured(&config);
        let store = config.properties()["ssl.keystore.location"].as_str();
        assert_eq!(store, format!("/etc/dohle/node{ordinal}.pem"));
        summary += &told(&config, &mounts);
    }
    expect![[r#"
        combined 0 of Xl2hTf0mQ5q0S3mCwSjJ4A at CLIENTS://dohle-0.dohle.default.svc:9092,NODES://dohle-0.dohle.default.svc:9094, 3 voters, data in /var/lib/kafka/data
        combined 1 of Xl2hTf0mQ5q0S3mCwSjJ4A at CLIENTS://dohle-1.dohle.default.svc:9092,NODES://dohle-1.dohle.default.svc:9094, 3 voters, data in /var/lib/kafka/data
        combined 2 of Xl2hTf0mQ5q0S3mCwSjJ4A at CLIENTS://dohle-2.dohle.default.svc:9092,NODES://dohle-2.dohle.default.svc:9094, 3 voters, data in /var/lib/kafka/data
    "#]].assert_eq(&summary);
}

#[test]
fn a_file_in_bitnamis_style_comes_up() {
    check_compose(
        "compose/bitnami.yaml",
        expect![[r#"
        combined 1 of abcdefghijklmnopqrstuv at PLAINTEXT://kafka:9092,EXTERNAL://localhost:9094, 1 voters, data in /bitnami/kafka/data
    "#]],
    );
}

#[test]
fn three_nodes_in_confluents_style_come_up() {
    check_compose(
        "compose/confluent.yaml",
        expect![[r#"
        combined 1 of MkU3OEVBNTcwNTJENDM2Qk at INTERNAL://kafka-1:9092,EXTERNAL://localhost:29092, 3 voters, data in /var/lib/kafka/data
        combined 2 of MkU3OEVBNTcwNTJENDM2Qk at INTERNAL://kafka-2:9092,EXTERNAL://localhost:30092, 3 voters, data in /var/lib/kafka/data
        combined 3 of MkU3OEVBNTcwNTJENDM2Qk at INTERNAL://kafka-3:9092,EXTERNAL://localhost:31092, 3 voters, data in /var/lib/kafka/data
    "#]],
    );
}

#[test]
fn a_file_in_apaches_style_comes_up() {
    check_compose(
        "compose/apache.yaml",
        expect![[r#"
        combined 1 of 4L6g3nShT-eMCtK--X86sw at PLAINTEXT_HOST://localhost:9092,PLAINTEXT://broker:19092, 1 voters, data in /tmp/kraft-combined-logs
    "#]],
    );
}

/// Returns the variables of a pod: those of the config map, then its own, with `$(NAME)` replaced.
fn pod_variables(documents: &[Yaml], ordinal: usize) -> Vec<(String, String)> {
    let of_kind = |kind: &str| {
        let found = documents
            .iter()
            .find(|document| document["kind"].as_str() == Some(kind));
        found.unwrap_or_else(|| panic!("no {kind}"))
    };
    let map = of_kind("ConfigMap")["data"].as_hash().unwrap();
    let mut found: Vec<(String, String)> = map
        .iter()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    let fields = BTreeMap::from([
        (
            "metadata.labels['apps.kubernetes.io/pod-index']",
            ordinal.to_string(),
        ),
        ("metadata.name", format!("dohle-{ordinal}")),
        ("metadata.namespace", "default".to_owned()),
    ]);
    let container = &of_kind("StatefulSet")["spec"]["template"]["spec"]["containers"][0];
    for variable in container["env"].as_vec().unwrap() {
        let mut value = match &variable["value"] {
            Yaml::BadValue if !variable["valueFrom"]["secretKeyRef"].is_badvalue() => {
                "secret".to_owned()
            }
            Yaml::BadValue => {
                let field = text(&variable["valueFrom"]["fieldRef"]["fieldPath"]);
                fields[field.as_str()].clone()
            }
            value => text(value),
        };
        for (name, earlier) in &found {
            value = value.replace(&format!("$({name})"), earlier);
        }
        found.push((text(&variable["name"]), value));
    }
    found
}

#[test]
fn a_pods_ordinal_is_its_node_id() {
    let documents = documents("kubernetes/dohle.yaml");
    let mounts = ["/var/lib/kafka".to_owned()];
    let mut summary = String::new();
    for ordinal in 0..3 {
        let config = node(&pod_variables(&documents, ordinal), &mounts, "dohle-0");
        assert_eq!(
            config.voters[ordinal].host,
            format!("dohle-{ordinal}.dohle")
        );
        summary += &told(&config, &mounts);
    }
    expect![[r#"
        combined 0 of Nk018hRAQFytWskYqtQduw at PLAINTEXT://dohle-0.dohle.default.svc:9092, 3 voters, data in /var/lib/kafka/data
        combined 1 of Nk018hRAQFytWskYqtQduw at PLAINTEXT://dohle-1.dohle.default.svc:9092, 3 voters, data in /var/lib/kafka/data
        combined 2 of Nk018hRAQFytWskYqtQduw at PLAINTEXT://dohle-2.dohle.default.svc:9092, 3 voters, data in /var/lib/kafka/data
    "#]].assert_eq(&summary);
}

/// Returns the documents of this kind, in their order.
fn of_kind<'a>(documents: &'a [Yaml], kind: &str) -> Vec<&'a Yaml> {
    let found = documents.iter();
    found
        .filter(|document| document["kind"].as_str() == Some(kind))
        .collect()
}

/// Describes how pods are spread, and how many may be evicted.
fn spread(documents: &[Yaml]) -> String {
    let set = of_kind(documents, "StatefulSet")[0];
    let template = &set["spec"]["template"];
    let constraints = &template["spec"]["topologySpreadConstraints"];
    let mut summary = String::new();
    for constraint in constraints.as_vec().unwrap() {
        let selected = &constraint["labelSelector"]["matchLabels"];
        assert_eq!(selected, &template["metadata"]["labels"]);
        summary += &format!(
            "{}: {}, skew {}, of {:?}\n",
            text(&constraint["topologyKey"]),
            text(&constraint["whenUnsatisfiable"]),
            text(&constraint["maxSkew"]),
            constraint["minDomains"].as_i64(),
        );
    }
    let budget = &of_kind(documents, "PodDisruptionBudget")[0]["spec"];
    assert_eq!(budget["selector"], set["spec"]["selector"]);
    summary + &format!("{} pod may be evicted\n", text(&budget["maxUnavailable"]))
}

#[test]
fn in_clusters_of_several_machines_no_two_pods_share_one() {
    for name in ["kubernetes/dohle.yaml", "kubernetes/secure.yaml"] {
        expect![[r#"
            kubernetes.io/hostname: DoNotSchedule, skew 1, of Some(3)
            topology.kubernetes.io/zone: ScheduleAnyway, skew 1, of None
            1 pod may be evicted
        "#]]
        .assert_eq(&spread(&documents(name)));
    }
}

#[test]
fn on_a_single_machine_the_same_nodes_come_up() {
    let (several, single) = (
        documents("kubernetes/dohle.yaml"),
        documents("kubernetes/local.yaml"),
    );
    expect![[r#"
        kubernetes.io/hostname: ScheduleAnyway, skew 1, of None
        1 pod may be evicted
    "#]]
    .assert_eq(&spread(&single));
    let names: Vec<&Yaml> = several.iter().map(|document| &document["kind"]).collect();
    let local: Vec<&Yaml> = single.iter().map(|document| &document["kind"]).collect();
    assert_eq!(names, local);
    for kind in ["Service", "PodDisruptionBudget"] {
        assert_eq!(of_kind(&several, kind), of_kind(&single, kind));
    }
    // One image and one container: a change of one file is a change of the other.
    let container = |documents| {
        let set: &Yaml = of_kind(documents, "StatefulSet")[0];
        set["spec"]["template"]["spec"]["containers"][0].clone()
    };
    assert_eq!(container(&several), container(&single));
    for ordinal in 0..3 {
        let (mut one, mut other) = (
            pod_variables(&several, ordinal),
            pod_variables(&single, ordinal),
        );
        let not_the_id = |(name, _): &(String, String)| name != "CLUSTER_ID";
        one.retain(not_the_id);
        other.retain(not_the_id);
        assert_eq!(one, other);
    }
}

#[test]
fn the_file_of_the_systemd_unit_is_a_node() {
    let mut sources = Sources::default();
    let file = read("systemd/server.properties");
    sources
        .add_file("server.properties", file.as_bytes())
        .unwrap();
    let config = NodeConfig::new(sources, "host1").unwrap();
    assert!(notices(&config).is_empty());
    assert_eq!(config.log_dirs, [PathBuf::from("/var/lib/dohle")]);
    let unit = read("systemd/dohle.service");
    assert!(
        unit.contains("StateDirectory=dohle\n"),
        "the folder belongs to the service"
    );
}
