//! Tests of the variables that secure listeners, as users of other images set them.

use dohle_tls::ClientAuth;
use expect_test::{Expect, expect};

use super::*;
use crate::config::NodeConfig;

const JAAS: &str = "KafkaServer {\n  \
    org.apache.kafka.common.security.plain.PlainLoginModule required\n  \
    username=\"admin\"\n  password=\"admin-secret\"\n  user_admin=\"admin-secret\"\n  \
    user_alice=\"alice-secret\";\n};\n\
    out.KafkaServer {\n  \
    org.apache.kafka.common.security.plain.PlainLoginModule required\n  \
    user_bob=\"bob-secret\";\n};\n";

/// The files of the container.
fn read(path: &str) -> io::Result<String> {
    match path {
        "/etc/kafka/secrets/broker_jaas.conf" => Ok(JAAS.to_owned()),
        "/run/secrets/passwords" => Ok("one,two\n".to_owned()),
        "/bitnami/kafka/config/certs/kafka.keystore.jks"
        | "/bitnami/kafka/config/certs/kafka.truststore.jks" => {
            Err(io::ErrorKind::InvalidData.into())
        }
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn completed(text: &str) -> Result<Sources, ConfigFault> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let variables: Vec<(String, String)> = lines
        .map(|line| line.split_once('=').expect("NAME=VALUE"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut sources = Sources::default();
    sources.add_environment(variables.clone());
    sources.complete_for_image(&variables, "/data");
    sources.complete_security(&variables, &read)?;
    Ok(sources)
}

/// Checks the properties of security, and the first users, that variables lead to.
#[track_caller]
fn check(text: &str, expected: Expect) {
    let sources = completed(text).unwrap();
    let given = ["ssl.", "sasl."];
    let shown = sources.properties.iter();
    let shown = shown.filter(|(name, _)| given.iter().any(|part| name.contains(part)));
    let mut summary: String = shown
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    for user in &sources.first_users {
        summary += &format!(
            "{} {} {}\n",
            user.mechanism,
            user.name,
            user.password.expose()
        );
    }
    assert!(!format!("{:?}", sources.first_users).contains("secret"));
    expected.assert_eq(&summary);
}

/// A node of Bitnami's image with listeners of these protocols.
fn bitnami(clients: &str, between: &str, controller: &str) -> String {
    format!(
        "KAFKA_CFG_NODE_ID=0
         KAFKA_CFG_PROCESS_ROLES=controller,broker
         KAFKA_CFG_CONTROLLER_QUORUM_VOTERS=0@kafka:9093
         KAFKA_CFG_LISTENERS=CLIENT://:9092,INTERNAL://:9094,CONTROLLER://:9093
         KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=\
         CLIENT:{clients},INTERNAL:{between},CONTROLLER:{controller}
         KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER
         KAFKA_CFG_INTER_BROKER_LISTENER_NAME=INTERNAL\n"
    )
}

#[test]
fn bitnamis_users_of_clients_log_in_with_plain_and_scram() {
    let text = bitnami("SASL_PLAINTEXT", "PLAINTEXT", "PLAINTEXT")
        + "KAFKA_CLIENT_USERS=alice;bob\nKAFKA_CLIENT_PASSWORDS=alice-secret,\"x\n";
    check(
        &text,
        expect![[r#"
        listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "user_alice"="alice-secret" "user_bob"="\"x";
        listener.name.client.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
        listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
        sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
        SCRAM-SHA-256 alice alice-secret
        SCRAM-SHA-256 bob "x
        SCRAM-SHA-512 alice alice-secret
        SCRAM-SHA-512 bob "x
    "#]],
    );
    let config = NodeConfig::new(completed(&text).unwrap(), "kafka").unwrap();
    let users = &config.sasl.listeners["CLIENT"].plain_users;
    assert!(users.is_password("alice", "alice-secret") && users.is_password("bob", "\"x"));
    assert_eq!(config.first_users.len(), 4);
}

#[test]
fn bitnamis_users_of_nodes_are_those_of_their_listeners() {
    let text = bitnami("SASL_PLAINTEXT", "SASL_PLAINTEXT", "SASL_PLAINTEXT")
        + "KAFKA_CLIENT_USERS=alice
           KAFKA_CLIENT_PASSWORDS=alice-secret
           KAFKA_CFG_SASL_ENABLED_MECHANISMS=PLAIN
           KAFKA_CFG_SASL_MECHANISM_INTER_BROKER_PROTOCOL=PLAIN
           KAFKA_CFG_SASL_MECHANISM_CONTROLLER_PROTOCOL=SCRAM-SHA-256
           KAFKA_INTER_BROKER_USER=broker
           KAFKA_INTER_BROKER_PASSWORD=broker-secret
           KAFKA_CONTROLLER_USER=controller
           KAFKA_CONTROLLER_PASSWORD=controller-secret\n";
    check(
        &text,
        expect![[r#"
        listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "user_alice"="alice-secret";
        listener.name.controller.sasl.enabled.mechanisms=SCRAM-SHA-256
        listener.name.controller.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "username"="controller" "password"="controller-secret";
        listener.name.internal.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "username"="broker" "password"="broker-secret" "user_alice"="alice-secret" "user_broker"="broker-secret";
        sasl.enabled.mechanisms=PLAIN
        sasl.mechanism.controller.protocol=SCRAM-SHA-256
        sasl.mechanism.inter.broker.protocol=PLAIN
        SCRAM-SHA-256 controller controller-secret
    "#]],
    );
}

/// Bitnami's image makes the file itself.
#[test]
fn the_jaas_file_that_bitnamis_image_makes_may_be_absent() {
    let text = bitnami("SASL_PLAINTEXT", "PLAINTEXT", "PLAINTEXT")
        + "KAFKA_OPTS=-Djava.security.auth.login.config=/opt/bitnami/kafka/config/kafka_jaas.conf
           KAFKA_CFG_SASL_ENABLED_MECHANISMS=PLAIN
           KAFKA_CLIENT_USERS=alice
           KAFKA_CLIENT_PASSWORDS=alice-secret\n";
    check(
        &text,
        expect![[r#"
        listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "user_alice"="alice-secret";
        sasl.enabled.mechanisms=PLAIN
    "#]],
    );
}

#[test]
fn passwords_may_be_in_files_and_what_is_set_is_kept() {
    let line = "org.apache.kafka.common.security.plain.PlainLoginModule required user_x=\"y\";";
    let text = bitnami("SASL_PLAINTEXT", "PLAINTEXT", "PLAINTEXT")
        + "KAFKA_CFG_SASL_ENABLED_MECHANISMS=PLAIN
           KAFKA_CLIENT_USERS=alice,bob
           KAFKA_CLIENT_PASSWORDS_FILE=/run/secrets/passwords\n";
    check(
        &text,
        expect![[r#"
        listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "user_alice"="one" "user_bob"="two";
        sasl.enabled.mechanisms=PLAIN
    "#]],
    );
    let files = completed(&text).unwrap().secret_files;
    let settings: Vec<_> = files.iter().map(|file| file.setting.as_str()).collect();
    assert_eq!(settings, ["KAFKA_CLIENT_PASSWORDS_FILE"]);
    let own = format!("KAFKA_CFG_LISTENER_NAME_CLIENT_PLAIN_SASL_JAAS_CONFIG={line}\n");
    check(
        &(text + &own),
        expect![[r#"
        listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_x="y";
        sasl.enabled.mechanisms=PLAIN
    "#]],
    );
}

#[test]
fn variables_that_contradict_each_other_are_refused_without_a_password() {
    let base = bitnami("SASL_PLAINTEXT", "PLAINTEXT", "PLAINTEXT");
    for (variables, message) in [
        (
            "KAFKA_CLIENT_USERS=a,b\nKAFKA_CLIENT_PASSWORDS=swordfish",
            "KAFKA_CLIENT_PASSWORDS is not set; it must be one password for each of the 2 users in \
             KAFKA_CLIENT_USERS; there are 1",
        ),
        (
            "KAFKA_INTER_BROKER_USER=a",
            "KAFKA_INTER_BROKER_PASSWORD is not set; it must be the password of the user in \
             KAFKA_INTER_BROKER_USER",
        ),
        (
            "KAFKA_CONTROLLER_PASSWORD=swordfish",
            "KAFKA_CONTROLLER_USER is not set; it must be the user of the password in \
             KAFKA_CONTROLLER_PASSWORD",
        ),
        (
            "KAFKA_CLIENT_PASSWORDS_FILE=/nothing",
            "KAFKA_CLIENT_PASSWORDS_FILE is \"/nothing\"; allowed is the path of a file that can \
             be read (entity not found)",
        ),
        (
            "KAFKA_OPTS=-Xmx1g -Djava.security.auth.login.config=/nothing",
            "KAFKA_OPTS is \"-Djava.security.auth.login.config=/nothing\"; allowed is a file that \
             can be read (entity not found)",
        ),
    ] {
        let refused = completed(&format!("{base}{variables}")).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }
}

/// The variables of the example for SASL in Apache Kafka's own repository, which Confluent's image
/// takes, too.
#[test]
fn a_jaas_file_has_the_users_of_each_listener() {
    let text = "KAFKA_NODE_ID=1
        KAFKA_PROCESS_ROLES=broker,controller
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,IN:PLAINTEXT,OUT:SASL_PLAINTEXT,\
        HOST:SASL_PLAINTEXT
        KAFKA_CONTROLLER_QUORUM_VOTERS=1@kafka-1:9093
        KAFKA_LISTENERS=IN://:19094,CONTROLLER://:9093,OUT://:9094,HOST://:9095
        KAFKA_INTER_BROKER_LISTENER_NAME=IN
        KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER
        KAFKA_SASL_ENABLED_MECHANISMS=PLAIN
        KAFKA_OPTS=-Xlog -Djava.security.auth.login.config=/etc/kafka/secrets/broker_jaas.conf";
    check(
        text,
        expect![[r#"
        listener.name.host.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "username"="admin" "password"="admin-secret" "user_admin"="admin-secret" "user_alice"="alice-secret";
        listener.name.out.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "user_bob"="bob-secret";
        sasl.enabled.mechanisms=PLAIN
    "#]],
    );
    let config = NodeConfig::new(completed(text).unwrap(), "kafka-1").unwrap();
    let files = config.secret_files.iter();
    let files: Vec<_> = files
        .map(|it| (&*it.setting, it.path.to_str().unwrap()))
        .collect();
    assert_eq!(
        files,
        [("KAFKA_OPTS", "/etc/kafka/secrets/broker_jaas.conf")]
    );
    let users = |listener: &str| &config.sasl.listeners[listener].plain_users;
    assert!(users("HOST").is_password("alice", "alice-secret"));
    assert!(users("OUT").is_password("bob", "bob-secret"));
    assert!(!users("OUT").is_password("alice", "alice-secret"));
}

#[test]
fn bitnamis_key_stores_are_found_in_their_folder() {
    let text = bitnami("SSL", "SSL", "PLAINTEXT")
        + "KAFKA_TLS_TYPE=JKS
           KAFKA_CERTIFICATE_PASSWORD=store-secret
           KAFKA_TLS_INTERNAL_CLIENT_AUTH=requested\n";
    check(
        &text,
        expect![[r#"
        listener.name.internal.ssl.client.auth=requested
        ssl.client.auth=required
        ssl.key.password=store-secret
        ssl.keystore.location=/bitnami/kafka/config/certs/kafka.keystore.jks
        ssl.keystore.password=store-secret
        ssl.keystore.type=JKS
        ssl.truststore.location=/bitnami/kafka/config/certs/kafka.truststore.jks
        ssl.truststore.password=store-secret
        ssl.truststore.type=JKS
    "#]],
    );
    let config = NodeConfig::new(completed(&text).unwrap(), "kafka").unwrap();
    assert_eq!(config.tls["CLIENT"].client_auth, ClientAuth::Required);
    assert_eq!(config.tls["INTERNAL"].client_auth, ClientAuth::Requested);
}

#[test]
fn without_secured_listeners_the_variables_change_nothing() {
    let text = bitnami("PLAINTEXT", "PLAINTEXT", "PLAINTEXT")
        + "KAFKA_CLIENT_USERS=alice\nKAFKA_CLIENT_PASSWORDS=alice-secret\nKAFKA_TLS_TYPE=PEM\n";
    check(&text, expect![[""]]);
}
