//! A million lines of real text are produced and consumed, with every codec and several clients.

use std::time::Duration;

use anyhow::Result;
use dohle_tests::clients::{CODECS, digest_in, franz_go, java, kcat};
use dohle_tests::corpus::Corpus;
use dohle_tests::{Cluster, replicas};

/// Enough for the full corpus on two busy cores.
const LIMIT: Duration = Duration::from_secs(600);

/// The lines that the slower clients handle with each codec.
const SLICE: u64 = 100_000;

#[test]
fn a_million_lines_survive_a_round_trip_with_every_codec() -> Result<()> {
    let corpus = Corpus::full()?;
    let mut cluster = Cluster::of(3).start()?;
    let bootstrap = cluster.bootstrap();
    for codec in CODECS {
        let topic = format!("corpus-{codec}");
        cluster.create_topic(&topic, 6, 3, &[("min.insync.replicas", "2")])?;
        franz_go::produce(&bootstrap, &topic, &corpus.path, codec)
            .limit(LIMIT)
            .run()?
            .clean()?;
        let consumed = franz_go::consume(&bootstrap, &topic)
            .limit(LIMIT)
            .run()?
            .clean()?;
        assert_eq!(digest_in(&consumed), corpus.digest.to_string(), "{codec}");
    }
    for codec in CODECS {
        cluster.wait_in_sync(&format!("corpus-{codec}"))?;
    }
    cluster.stop()?;
    for codec in CODECS {
        let bytes = replicas::assert_identical(&cluster, &format!("corpus-{codec}"))?;
        println!("{codec}: {} lines in {bytes} bytes", corpus.digest.count());
    }
    Ok(())
}

#[test]
fn every_client_reads_what_every_other_client_wrote_with_every_codec() -> Result<()> {
    let corpus = Corpus::slice(SLICE)?;
    let cluster = Cluster::of(3).start()?;
    let bootstrap = cluster.bootstrap();
    let keyed = corpus.keyed(cluster.scratch())?;
    let expected = corpus.digest.to_string();
    for codec in CODECS {
        let of_java = format!("of-java-{codec}");
        cluster.create_topic(&of_java, 6, 3, &[])?;
        let codec_property = format!("compression.type={codec}");
        java::produce(
            &bootstrap,
            &of_java,
            &corpus.path,
            &["acks=all", &codec_property],
        )
        .limit(LIMIT)
        .run()?
        .clean()?;
        assert_eq!(
            kcat::consume(&bootstrap, &of_java)?.to_string(),
            expected,
            "{of_java}"
        );

        let of_kcat = format!("of-kcat-{codec}");
        cluster.create_topic(&of_kcat, 6, 3, &[])?;
        kcat::produce(&bootstrap, &of_kcat, &keyed, codec)
            .limit(LIMIT)
            .run()?
            .clean()?;
        let consumed = franz_go::consume(&bootstrap, &of_kcat).run()?.clean()?;
        assert_eq!(digest_in(&consumed), expected, "{of_kcat}");

        let of_franz = format!("of-franz-{codec}");
        cluster.create_topic(&of_franz, 6, 3, &[])?;
        franz_go::produce(&bootstrap, &of_franz, &corpus.path, codec)
            .run()?
            .clean()?;
        let consumed = java::consume(&bootstrap, &of_franz)
            .limit(LIMIT)
            .run()?
            .clean()?;
        assert_eq!(digest_in(&consumed), expected, "{of_franz}");
    }
    Ok(())
}
