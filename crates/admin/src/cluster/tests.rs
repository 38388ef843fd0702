//! Connects to addresses that do not speak Kafka's protocol.

use std::net::TcpListener;

use super::*;

fn connection(bootstrap: &str, controllers: bool) -> Connection {
    let timeout = ("request.timeout.ms".to_owned(), "200".to_owned());
    Connection {
        bootstrap: bootstrap.to_owned(),
        controllers,
        properties: [timeout].into(),
    }
}

/// Sends a request to this address, and returns the error.
fn ask(bootstrap: &str, controllers: bool) -> ClusterError {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        match Cluster::connect(&connection(bootstrap, controllers)).await {
            Ok(cluster) => cluster.nodes().await.unwrap_err(),
            Err(error) => error,
        }
    })
}

/// Returns a listener that never answers: the system accepts the connections.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn a_broker_that_says_nothing_is_told_after_the_request_timeout() {
    let (_listener, address) = silent();
    let error = ask(&address, false);
    let text = error.to_string();
    assert!(matches!(error, ClusterError::Timeout { .. }), "{error:?}");
    let told = format!("{address} did not answer DescribeCluster within 0.2 s.");
    assert!(
        text.starts_with(&told) && text.contains("security.protocol"),
        "{text}"
    );
}

#[test]
fn a_controller_that_says_nothing_is_taken_for_one_of_ours() {
    let (_listener, address) = silent();
    let error = ask(&address, true);
    let text = error.to_string();
    assert!(
        text.contains("give a broker, with --bootstrap-server"),
        "{text}"
    );
}

#[test]
fn the_first_address_that_answers_is_asked() {
    let (closed, gone) = silent();
    drop(closed);
    let (_listener, address) = silent();
    let error = ask(&format!("{gone},{address}"), false);
    assert!(error.to_string().starts_with(&address), "{error}");
}

#[test]
fn names_that_are_not_known_are_told_at_once() {
    let error = ask("no-such-host.invalid:9092", false).to_string();
    assert!(
        error.starts_with("No broker answers at no-such-host.invalid:9092 ("),
        "{error}"
    );
}

#[test]
fn properties_of_other_clients_are_passed_over_and_wrong_values_are_not() {
    let mut connection = connection("h:1", false);
    connection
        .properties
        .insert("group.id".to_owned(), "g".to_owned());
    assert!(connection.admin_config().is_ok());
    connection
        .properties
        .insert("request.timeout.ms".to_owned(), "soon".to_owned());
    let error = connection.admin_config().unwrap_err().to_string();
    assert!(error.contains("request.timeout.ms"), "{error}");
}
