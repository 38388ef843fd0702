//! kcat, which tests librdkafka: metadata, offsets, every codec, errors.

use anyhow::Result;
use dohle_tests::Cluster;
use dohle_tests::clients::CODECS;
use dohle_tests::clients::kcat::kcat;

#[test]
fn kcat_lists_the_cluster_and_its_topics() -> Result<()> {
    let cluster = Cluster::of(3).start()?;
    cluster.create_topic("listed", 3, 3, &[])?;
    let listing = kcat(&cluster.bootstrap(), &["-L"]).run()?.clean()?;
    assert!(listing.contains(" 3 brokers:"), "{listing}");
    for node in cluster.nodes() {
        let line = format!("broker {} at {}", node.id, node.address);
        assert!(listing.contains(&line), "{listing}");
    }
    assert!(
        listing.contains("topic \"listed\" with 3 partitions:"),
        "{listing}"
    );
    let in_sync = listing.lines().filter(|line| {
        let isr = line
            .split_once("isrs: ")
            .map(|(_, isr)| isr.split(',').count());
        line.contains("partition ") && isr == Some(3)
    });
    assert_eq!(in_sync.count(), 3, "{listing}");
    Ok(())
}

#[test]
fn kcat_produces_and_consumes_with_every_codec() -> Result<()> {
    let cluster = Cluster::of(3).start()?;
    let bootstrap = cluster.bootstrap();
    for codec in CODECS {
        let topic = format!("kcat-{codec}");
        cluster.create_topic(&topic, 1, 3, &[])?;
        let lines: String = (0..1000)
            .map(|n| format!("key-{n}:value {n} of {codec}\n"))
            .collect();
        kcat(
            &bootstrap,
            &[
                "-P",
                "-t",
                &topic,
                "-z",
                codec,
                "-K",
                ":",
                "-H",
                "made-by=kcat",
            ],
        )
        .input(lines.clone())
        .run()?
        .clean()?;
        let consume = ["-C", "-t", &topic, "-p", "0", "-o", "beginning", "-e", "-q"];
        let consumed = kcat(&bootstrap, &consume)
            .args(["-f", "%k:%s\n"])
            .run()?
            .clean()?;
        assert_eq!(consumed, lines, "{codec}");
        let last = ["-C", "-t", &topic, "-p", "0", "-o", "-1", "-e", "-q"];
        let consumed = kcat(&bootstrap, &last)
            .args(["-f", "%o %h\n"])
            .run()?
            .clean()?;
        assert_eq!(consumed, "999 made-by=kcat\n", "{codec}");
    }
    Ok(())
}

#[test]
fn kcat_finds_offsets_by_time() -> Result<()> {
    let cluster = Cluster::of(1).start()?;
    let bootstrap = cluster.bootstrap();
    cluster.create_topic("timed", 1, 1, &[])?;
    kcat(&bootstrap, &["-P", "-t", "timed"])
        .input("a\nb\nc\n")
        .run()?
        .clean()?;
    // -1 is the end, -2 the start; a time in 2001 is before all records.
    for (time, offset) in [("-1", 3), ("-2", 0), ("1000000000000", 0)] {
        let query = format!("timed:0:{time}");
        let found = kcat(&bootstrap, &["-Q", "-t", &query]).run()?.clean()?;
        assert_eq!(found, format!("timed [0] offset {offset}\n"), "{time}");
    }
    Ok(())
}

#[test]
fn kcat_is_told_of_a_topic_that_does_not_exist() -> Result<()> {
    let cluster = Cluster::of(1)
        .property("auto.create.topics.enable", "false")
        .start()?;
    let bootstrap = cluster.bootstrap();
    let output = kcat(&bootstrap, &["-C", "-t", "nowhere", "-e"]).run()?;
    assert_ne!(output.code, 0, "{output}");
    assert!(
        output.stderr.contains("Unknown topic or partition"),
        "{output}"
    );
    Ok(())
}

#[test]
fn producing_creates_a_topic_where_that_is_allowed() -> Result<()> {
    let cluster = Cluster::of(1).property("num.partitions", "2").start()?;
    let bootstrap = cluster.bootstrap();
    kcat(&bootstrap, &["-P", "-t", "made-by-producing"])
        .input("first\n")
        .run()?
        .ok()?;
    assert_eq!(cluster.describe("made-by-producing")?.len(), 2);
    let consume = [
        "-C",
        "-t",
        "made-by-producing",
        "-o",
        "beginning",
        "-e",
        "-q",
    ];
    assert_eq!(kcat(&bootstrap, &consume).run()?.clean()?, "first\n");
    Ok(())
}
