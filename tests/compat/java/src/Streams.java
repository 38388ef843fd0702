import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * A Kafka Streams application whose output shows each record that was processed twice or not at all.
 *
 * <pre>
 * Streams input BOOTSTRAP SEED COUNT RATE        writes the input: users, then COUNT clicks and COUNT lines, RATE a second of each
 * Streams run BOOTSTRAP STATE_DIR [name=value …] runs an instance until SIGTERM; prints "state STATE" at each change
 * Streams check BOOTSTRAP SECONDS                waits until the output is complete, and compares it with the input
 * </pre>
 *
 * Nothing is cached, so each input record updates its count by one: the updates of a key must be 1, 2, 3 and so on, which
 * a comparison of the final values alone would not show.
 */
public final class Streams {
    private static final String APPLICATION = "dohle-streams";
    private static final String LINES = "lines";
    private static final String CLICKS = "clicks";
    private static final String USERS = "users";
    private static final String WORD_COUNTS = "word-counts";
    private static final String CLICK_WINDOWS = "click-windows";
    private static final String CLICK_REGIONS = "click-regions";
    private static final long START_MS = 1_700_000_000_000L;
    private static final Duration WINDOW = Duration.ofSeconds(60);
    private static final int USER_COUNT = 40;
    private static final String[] WORDS =
        "log offset epoch leader follower broker record batch segment index topic group commit abort".split(" ");

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "input" -> input(args[1], Long.parseLong(args[2]), Integer.parseInt(args[3]), Integer.parseInt(args[4]));
            case "run" -> run(args);
            case "check" -> check(args[1], Integer.parseInt(args[2]));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static void input(String bootstrap, long seed, int count, int rate) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("acks", "all");
        properties.put("delivery.timeout.ms", "120000");
        var random = new Random(seed);
        try (var producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            for (int user = 0; user < USER_COUNT; user++) {
                send(producer, new ProducerRecord<>(USERS, null, START_MS, "user-" + user, "region-" + user % 5));
            }
            producer.flush();
            long began = System.nanoTime();
            for (int i = 0; i < count; i++) {
                LockSupport.parkNanos(began + i * 1_000_000_000L / rate - System.nanoTime());
                long timestamp = START_MS + 1 + i * 37L;
                String user = "user-" + random.nextInt(USER_COUNT);
                send(producer, new ProducerRecord<>(CLICKS, null, timestamp, user, i + " " + random.nextInt(100)));
                var line = new StringBuilder();
                for (int words = 1 + random.nextInt(4); words > 0; words--) {
                    line.append(WORDS[random.nextInt(WORDS.length)]).append(' ');
                }
                send(producer, new ProducerRecord<>(LINES, null, timestamp, "line-" + i, line.toString().trim()));
                if ((i + 1) % 50 == 0) System.out.println("written " + (i + 1));
            }
        }
    }

    private static void send(KafkaProducer<String, String> producer, ProducerRecord<String, String> record) {
        producer.send(record, (metadata, error) -> {
            if (error != null) {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        });
    }

    private static StreamsBuilder topology() {
        var builder = new StreamsBuilder();
        var strings = Serdes.String();
        KStream<String, String> lines = builder.stream(LINES);
        lines.flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with("words", strings, strings))
            .count(Materialized.as("word-count"))
            .toStream()
            .mapValues(String::valueOf)
            .to(WORD_COUNTS);
        KStream<String, String> clicks = builder.stream(CLICKS);
        clicks.groupByKey()
            .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, Duration.ofDays(1)))
            .aggregate(() -> "0 0", (user, click, total) -> add(total, click), Materialized.as("click-window"))
            .toStream((window, total) -> window.key() + "@" + window.window().start())
            .to(CLICK_WINDOWS);
        clicks.join(builder.<String, String>table(USERS), (click, region) -> click.split(" ")[0] + " " + region)
            .to(CLICK_REGIONS);
        return builder;
    }

    /** Adds a click to "COUNT SUM". */
    private static String add(String total, String click) {
        String[] parts = total.split(" ");
        return (Integer.parseInt(parts[0]) + 1) + " " + (Integer.parseInt(parts[1]) + Integer.parseInt(click.split(" ")[1]));
    }

    private static void run(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[1]);
        properties.put("state.dir", args[2]);
        properties.put("application.id", APPLICATION);
        properties.put("default.key.serde", Serdes.StringSerde.class.getName());
        properties.put("default.value.serde", Serdes.StringSerde.class.getName());
        properties.put("processing.guarantee", "exactly_once_v2");
        properties.put("statestore.cache.max.bytes", "0");
        properties.put("commit.interval.ms", "200");
        properties.put("num.standby.replicas", "1");
        properties.put("num.stream.threads", "1");
        properties.put("replication.factor", "3");
        properties.put("consumer.auto.offset.reset", "earliest");
        properties.put("consumer.session.timeout.ms", "6000");
        properties.put("consumer.heartbeat.interval.ms", "500");
        properties.put("consumer.metadata.max.age.ms", "2000");
        properties.put("producer.transaction.timeout.ms", "10000");
        for (int i = 3; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            properties.put(pair[0], pair[1]);
        }
        var streams = new KafkaStreams(topology().build(), properties);
        var ended = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            System.out.println("state " + now);
            if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) ended.countDown();
        });
        // As Kafka's documentation advises for errors that a new thread may not meet again.
        streams.setUncaughtExceptionHandler(error -> {
            System.out.println("replaced a thread after " + error);
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
        streams.start();
        ended.await();
    }

    private static void check(String bootstrap, int seconds) {
        Map<String, Integer> words = new TreeMap<>();
        read(bootstrap, LINES, record -> {
            for (String word : record.value().split(" ")) words.merge(word, 1, Integer::sum);
        });
        Map<String, String> users = new HashMap<>();
        read(bootstrap, USERS, record -> users.put(record.key(), record.value()));
        Map<String, String> windows = new TreeMap<>();
        Map<String, String> regions = new TreeMap<>();
        int[] clicks = {0};
        read(bootstrap, CLICKS, record -> {
            long start = record.timestamp() - record.timestamp() % WINDOW.toMillis();
            windows.merge(record.key() + "@" + start, add("0 0", record.value()), (total, first) -> add(total, record.value()));
            regions.put(record.value().split(" ")[0], users.get(record.key()));
            clicks[0]++;
        });
        int updates = words.values().stream().mapToInt(Integer::intValue).sum();
        long deadline = System.nanoTime() + Duration.ofSeconds(seconds).toNanos();
        while (true) {
            Map<String, Integer> seen = new TreeMap<>();
            Map<String, String> totals = new TreeMap<>();
            Map<String, String> joined = new TreeMap<>();
            int[] counts = {0, 0, 0};
            read(bootstrap, WORD_COUNTS, record -> {
                counts[0]++;
                next(record, seen.merge(record.key(), 1, Integer::sum), record.value());
            });
            Map<String, Integer> steps = new HashMap<>();
            read(bootstrap, CLICK_WINDOWS, record -> {
                counts[1]++;
                next(record, steps.merge(record.key(), 1, Integer::sum), record.value().split(" ")[0]);
                totals.put(record.key(), record.value());
            });
            read(bootstrap, CLICK_REGIONS, record -> {
                counts[2]++;
                String[] parts = record.value().split(" ");
                if (joined.put(parts[0], parts[1]) != null) fail(record, "the click was joined twice");
            });
            if (seen.equals(words) && totals.equals(windows) && joined.equals(regions)) {
                System.out.println("complete words=" + counts[0] + " windows=" + counts[1] + " joins=" + counts[2]);
                return;
            }
            if (System.nanoTime() > deadline) {
                System.out.println("incomplete words=" + counts[0] + "/" + updates + " windows=" + counts[1] + "/" + clicks[0]
                    + " joins=" + counts[2] + "/" + clicks[0]);
                System.exit(1);
            }
        }
    }

    /** Fails unless the update of a key is the one that follows those before it. */
    private static void next(ConsumerRecord<String, String> record, int expected, String count) {
        if (!count.equals(String.valueOf(expected))) fail(record, "update " + expected + " of its key was expected");
    }

    private static void fail(ConsumerRecord<String, String> record, String why) {
        System.out.println(record.topic() + "-" + record.partition() + " offset " + record.offset() + ", " + record.key() + " = "
            + record.value() + ": " + why);
        System.exit(1);
    }

    /** Reads the committed records of a topic up to its present end, each partition in its order. */
    private static void read(String bootstrap, String topic, Consumer<ConsumerRecord<String, String>> each) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("isolation.level", "read_committed");
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(topic, info.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (!ends.entrySet().stream().allMatch(end -> consumer.position(end.getKey()) >= end.getValue())) {
                consumer.poll(Duration.ofMillis(200)).forEach(each);
            }
        }
    }
}
